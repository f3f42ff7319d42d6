"""The configuration files: where they are, and what stands in them."""

from __future__ import annotations

import logging
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandboxkit.errors import ConfigError, InvalidRequestError
from sandboxkit.mounts import anchored

from .schema import FILE_KEYS, ProfileFields, TemplateFields, check, nearest, suggestion
from .secret import mark_secrets

__all__ = ["FILE_NAME", "ConfigFile", "find_files", "read_file", "user_file"]

FILE_NAME = "sandboxkit.toml"

_log = logging.getLogger(__name__)
_LINE = re.compile(r"\(at line (\d+)")


class Tables(Mapping[str, Mapping[str, Any]]):
    """Tables by name, each checked when it is first used: what is wrong in one harms no other."""

    def __init__(
        self,
        written: Mapping[str, object] | None = None,
        check: Callable[[str, object], dict[str, Any]] | None = None,
    ) -> None:
        self._written = written or {}
        self._check = check
        self._checked: dict[str, Mapping[str, Any]] = {}

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        if name not in self._checked and self._check is not None:
            self._checked[name] = self._check(name, self._written[name])
        return self._checked[name]

    def __contains__(self, name: object) -> bool:
        return name in self._written

    def __iter__(self) -> Iterator[str]:
        return iter(self._written)

    def __len__(self) -> int:
        return len(self._written)

    def problems(self) -> Iterator[str]:
        """What is wrong, over all tables."""
        for name in self:
            try:
                self[name]
            except ConfigError as error:
                yield error.message


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file.

    Attributes:
        path: where it is.
        default_profile: the profile it names as the default.
        profiles: by name, the fields and, under any other key, the provider's settings.
        templates: by name, the common fields and each provider's own thing.
    """

    path: Path
    default_profile: str | None = None
    profiles: Tables = field(default_factory=Tables)
    templates: Tables = field(default_factory=Tables)


def user_file() -> Path:
    """The user's own file, whether it is there or not."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "sandboxkit" / "config.toml"


def find_files(start: Path | None) -> list[Path]:
    """The files that apply in `start` (the working directory), the winning one first."""
    try:
        folder = (start or Path.cwd()).absolute()
    except FileNotFoundError:  # the working directory has been removed
        found = []
    else:
        found = [_nearest(folder, FILE_NAME), user_file(), _nearest(folder, "pyproject.toml")]
    return [path for path in found or [user_file()] if path is not None and path.is_file()]


def _nearest(folder: Path, name: str) -> Path | None:
    # By text: this is done for every `create`, and a Path takes as long to make as to look for.
    parent, above = str(folder), ""
    while parent != above:
        path = os.path.join(parent, name)
        if os.path.isfile(path) and not _planted(Path(path)):
            return Path(path)
        parent, above = os.path.dirname(parent), parent
    return None


def _planted(path: Path) -> bool:
    # In a folder such as /tmp anyone may leave a file that sends our keys to his own server.
    owner = path.lstat().st_uid
    open_to_all = bool(path.parent.stat().st_mode & stat.S_IWOTH)
    if not open_to_all or owner in (0, os.geteuid()):
        return False
    _log.warning("ignored %s: another user put it into a folder that anyone may write", path)
    return True


_read: dict[Path, tuple[tuple[int, int, int], ConfigFile]] = {}


def read_file(path: Path) -> ConfigFile:
    """Read a file; kept until it changes. Profiles and templates are checked when they are used.

    Raises:
        ConfigError: it is malformed, or has a key at its top that means nothing.
    """
    try:
        status = path.stat()
        version = (status.st_ino, status.st_mtime_ns, status.st_size)
        kept = _read.get(path)
        if kept is None or kept[0] != version:
            kept = _read[path] = (version, _parse(path, path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return kept[1]


def _parse(path: Path, text: str) -> ConfigFile:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = _LINE.search(str(error))
        where = f"{path}:{line[1]}" if line else str(path)
        raise ConfigError(f"{where}: not TOML: {error}") from None
    if path.name == "pyproject.toml":
        content = content.get("tool", {}).get("sandboxkit", {})
    for key in content.keys() - set(FILE_KEYS):
        raise ConfigError(
            f"{_at(path, text, key)}: unknown key {key!r}; {suggestion(key, FILE_KEYS)}"
        )
    default = content.get("default_profile")
    if not isinstance(default, str | None):
        raise ConfigError(f"{_at(path, text, 'default_profile')}: default_profile must be text")
    return ConfigFile(
        path=path,
        default_profile=default,
        profiles=_tables(content, "profiles", path, text, _profile),
        templates=_tables(content, "templates", path, text, _template),
    )


def _tables(
    content: Mapping[str, Any],
    kind: str,
    path: Path,
    text: str,
    read: Callable[[dict[str, Any], Path, str], dict[str, Any]],
) -> Tables:
    tables = content.get(kind, {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{_at(path, text, kind)}: {kind} must be tables: [{kind}.NAME]")

    def check(name: str, table: object) -> dict[str, Any]:
        where = f"{_at(path, text, f'{kind}.{name}')} [{kind}.{name}]"
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: must be a table")
        return read(table, path, where)

    return Tables(tables, check)


def _profile(table: dict[str, Any], path: Path, where: str) -> dict[str, Any]:
    known = {key: value for key, value in table.items() if key in ProfileFields.model_fields}
    fields = check(ProfileFields, known, where)
    if "env" in fields:
        fields["env"] = mark_secrets(fields["env"], path.parent)
    if "mounts" in fields:
        fields["mounts"] = [_mount(one, path.parent, where) for one in fields["mounts"] or ()]
    settings = {key: value for key, value in table.items() if key not in known}
    return fields | {key: mark_secrets(value, path.parent) for key, value in settings.items()}


def _mount(written: object, folder: Path, where: str) -> dict[str, Any]:
    try:
        return anchored(written, folder)
    except InvalidRequestError as error:
        raise ConfigError(f"{where}: mounts: {error.message}") from None


def _template(table: dict[str, Any], _: Path, where: str) -> dict[str, Any]:
    known = {key: value for key, value in table.items() if key in TemplateFields.model_fields}
    own = {key: value for key, value in table.items() if key not in known}
    for key, value in own.items():
        # Any other key is a provider's name, which need not be installed here; typing errors are
        # told from those by how near they are.
        near = nearest(key, TemplateFields.model_fields, cutoff=0.8)
        if near:
            raise ConfigError(f"{where}: unknown key {key!r}; did you mean {near!r}?")
        if not isinstance(value, str | dict):
            raise ConfigError(f"{where}: {key}: must be text or a table")
    return check(TemplateFields, known, where) | own


def _at(path: Path, text: str, key: str) -> str:
    """The file, and the line that a key or table is on, where it is written the usual way."""
    plain = re.escape(key)
    pattern = rf"^\s*(?:\[(?:tool\.sandboxkit\.)?{plain}[\].]|{plain}\s*[=.])"
    found = re.search(pattern, text, re.MULTILINE)
    return f"{path}:{text[: found.end()].count(chr(10)) + 1}" if found else str(path)
