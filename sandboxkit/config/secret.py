"""Secrets by reference: a file names them, only use looks them up, nothing prints them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandboxkit.errors import ConfigError

__all__ = ["Secret", "SecretText", "has_secret", "mark_secrets", "redact", "reveal"]

_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:key|token|secret|password|passwd|credentials?)(?:$|[_-])", re.IGNORECASE
)


class SecretText(str):
    """A secret that was looked up: its ``repr`` shows where it came from instead."""

    reference: str

    @classmethod
    def of(cls, value: str, reference: str) -> SecretText:
        """The secret itself, and the reference to show."""
        text = cls(value)
        text.reference = reference
        return text

    def __repr__(self) -> str:
        return f"<{self.reference}>"


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is: ``env:NAME`` or ``file:PATH``.

    Attributes:
        reference: as it was written.
        folder: what a relative path is relative to: the configuration file's folder.
    """

    reference: str
    folder: Path

    def __repr__(self) -> str:
        return self.reference

    def reveal(self, key: str) -> SecretText:
        """Look it up, for the sake of `key`.

        Raises:
            ConfigError: the variable is not set or the file cannot be read.
        """
        scheme, _, place = self.reference.partition(":")
        value = _from_environment(key, place) if scheme == "env" else self._from_file(key, place)
        return SecretText.of(value, self.reference)

    def _from_file(self, key: str, place: str) -> str:
        path = self.folder / Path(place).expanduser()
        try:
            return path.read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{key} = {self.reference!r}: cannot read {path}: {error}") from None


def _from_environment(key: str, name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ConfigError(
            f"{key} = 'env:{name}': the variable {name} is not set", hint=f"export {name}=..."
        )
    return value


def mark_secrets(value: object, folder: Path) -> object:
    """The same value with every reference in it, at any depth, turned into a `Secret`."""
    if isinstance(value, str) and value.startswith(("env:", "file:")):
        return Secret(value, folder)
    if isinstance(value, Mapping):
        return {key: mark_secrets(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [mark_secrets(inner, folder) for inner in value]
    return value


def reveal(value: object, key: str) -> object:
    """The same value with every `Secret` in it looked up.

    Raises:
        ConfigError: one of them is not there.
    """
    if isinstance(value, Secret):
        return value.reveal(key)
    if isinstance(value, Mapping):
        return {name: reveal(inner, f"{key}.{name}") for name, inner in value.items()}
    if isinstance(value, list):
        return [reveal(inner, key) for inner in value]
    return value


def has_secret(value: object) -> bool:
    """Whether there is a `Secret` in a value, at any depth."""
    if isinstance(value, Mapping):
        return any(has_secret(inner) for inner in value.values())
    if isinstance(value, list):
        return any(has_secret(inner) for inner in value)
    return isinstance(value, Secret)


def redact(key: str, value: object) -> object:
    """The same value fit to be shown: references as written, what looks like a secret hidden."""
    if isinstance(value, Secret):
        return value.reference
    if isinstance(value, Mapping):
        return {name: redact(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [redact(key, inner) for inner in value]
    return "***" if isinstance(value, str) and _SECRET_NAME.search(key) else value
