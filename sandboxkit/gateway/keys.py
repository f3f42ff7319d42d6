"""API keys and the tenants they stand for. Keys are kept as hashes alone."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ConfigError
from ..spec import worded

__all__ = ["KeyRing", "Limits", "Tenant", "hash_key", "make_key", "read_keys"]

PREFIX = "sha256:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""A tenant's name, which what it makes is kept by, with a slash behind it."""


class Limits(BaseModel):
    """What a tenant may use at once.

    Attributes:
        max_sandboxes: running or paused.
        creations_per_second: on the average; bursts may be ten times as large.
        max_streams: requests that are being answered.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    max_sandboxes: Annotated[int, Field(gt=0)] = 1000
    creations_per_second: Annotated[float, Field(gt=0)] = 100.0
    max_streams: Annotated[int, Field(gt=0)] = 2000


class _TenantTable(Limits):
    keys: list[str] = []


class _KeysFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    tenants: dict[str, _TenantTable]


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who a key stands for: it sees only what it made itself.

    Attributes:
        name: in the state file.
        limits: what it may use.
    """

    name: str
    limits: Limits = field(default_factory=Limits)


def make_key() -> str:
    """A new key, of which nobody can guess anything."""
    return "e2b_" + secrets.token_hex(20)


def hash_key(key: str) -> str:
    """How a key is kept. One round will do: keys are random, so no list of words finds them."""
    return PREFIX + hashlib.sha256(key.encode()).hexdigest()


class KeyRing:
    """Finds the tenant of a key.

    Args:
        tenants: by the hash of each key.
    """

    def __init__(self, tenants: Mapping[str, Tenant]) -> None:
        self._tenants = dict(tenants)
        self._named = {tenant.name: tenant for tenant in tenants.values()}

    def named(self, name: str) -> Tenant:
        """A tenant by its name; one whose keys are gone may still have sandboxes."""
        return self._named.get(name) or Tenant(name)

    def tenant(self, key: str) -> Tenant | None:
        """Whose key this is, if anybody's; takes the same time whoever's it is."""
        given = hash_key(key).encode()
        found = None
        for digest, tenant in self._tenants.items():
            if hmac.compare_digest(given, digest.encode()):
                found = tenant
        return found


def read_keys(path: Path) -> KeyRing:
    """Read the tenants' keys from a TOML file: ``[tenants.NAME]`` with ``keys = ["sha256:..."]``.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong.
    """
    try:
        tables = _KeysFile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: the keys cannot be read: {error}") from error
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(f"{path}: {place}: {worded(problem)}") from None
    found: dict[str, Tenant] = {}
    for name, table in tables.tenants.items():
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{path}: tenants.{name!r}: a tenant's name is of letters, digits, dots, hyphens "
                "and underscores, 63 at most, and begins with a letter or a digit"
            )
        limits = Limits(**{key: getattr(table, key) for key in Limits.model_fields})
        for digest in table.keys:
            if not digest.startswith(PREFIX) or len(digest) != len(PREFIX) + 64:
                raise ConfigError(
                    f"{path}: tenants.{name}.keys: a key is kept as its hash, sha256:...",
                    hint="sandboxkit serve --make-key",
                )
            if digest in found:
                raise ConfigError(f"{path}: tenants.{name}.keys: a key stands there twice")
            found[digest] = Tenant(name, limits)
    return KeyRing(found)
