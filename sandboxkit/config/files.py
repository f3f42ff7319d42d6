"""The configuration files: where they are, and what stands in them."""

from __future__ import annotations

import logging
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandboxkit.errors import ConfigError

from .schema import FILE_KEYS, ProfileFields, TemplateFields, check, nearest, suggestion
from .secret import mark_secrets

__all__ = ["FILE_NAME", "ConfigFile", "find_files", "read_file", "user_file"]

FILE_NAME = "sandboxkit.toml"

_log = logging.getLogger(__name__)
_LINE = re.compile(r"\(at line (\d+)")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file, checked.

    Attributes:
        path: where it is.
        default_profile: the profile it names as the default.
        profiles: by name, the fields and, under any other key, the provider's settings.
        templates: by name, the common fields and each provider's own thing.
    """

    path: Path
    default_profile: str | None = None
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    templates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


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
    for parent in (folder, *folder.parents):
        path = parent / name
        if path.is_file() and not _planted(path):
            return path
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
    """Read and check a file; kept until it changes.

    Raises:
        ConfigError: it is malformed, or has a key that means nothing.
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
        profiles={
            name: _profile(table, path, where)
            for name, table, where in _tables(content, "profiles", path, text)
        },
        templates={
            name: _template(table, where)
            for name, table, where in _tables(content, "templates", path, text)
        },
    )


def _tables(
    content: Mapping[str, Any], kind: str, path: Path, text: str
) -> Iterator[tuple[str, dict[str, Any], str]]:
    tables = content.get(kind, {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{_at(path, text, kind)}: {kind} must be tables: [{kind}.NAME]")
    for name, table in tables.items():
        where = f"{_at(path, text, f'{kind}.{name}')} [{kind}.{name}]"
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: must be a table")
        yield name, table, where


def _profile(table: dict[str, Any], path: Path, where: str) -> dict[str, Any]:
    known = {key: value for key, value in table.items() if key in ProfileFields.model_fields}
    fields = check(ProfileFields, known, where)
    if "env" in fields:
        fields["env"] = mark_secrets(fields["env"], path.parent)
    settings = {key: value for key, value in table.items() if key not in known}
    return fields | {key: mark_secrets(value, path.parent) for key, value in settings.items()}


def _template(table: dict[str, Any], where: str) -> dict[str, Any]:
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
