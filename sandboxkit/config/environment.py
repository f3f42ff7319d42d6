"""``SANDBOXKIT_<FIELD>``: what the environment presets for `create`."""

from __future__ import annotations

import functools
import logging
import os
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ValidationError

from sandboxkit.errors import ConfigError

from .schema import ProfileFields, nearest, problems

__all__ = ["PREFIX", "from_environment", "profile_from_environment", "warn_once"]

PREFIX = "SANDBOXKIT_"

_NAMES = frozenset(f"{PREFIX}{name.upper()}" for name in ProfileFields.model_fields)
_OURS = [*(name.upper() for name in ProfileFields.model_fields), "PROFILE", "DEBUG"]
_KNOWN = {PREFIX + name for name in _OURS}

_log = logging.getLogger(__name__)
_warned: set[str] = set()


def warn_once(message: str) -> None:
    """Tell the log, unless this process has done so before."""
    if message not in _warned:
        _warned.add(message)
        _log.warning("%s", message)


def profile_from_environment() -> str | None:
    """The profile that ``SANDBOXKIT_PROFILE`` names."""
    return os.environ.get(f"{PREFIX}PROFILE") or None


def from_environment() -> dict[str, Any]:
    """The fields that are set. Tables are JSON; networks are separated by commas.

    Raises:
        ConfigError: one of them is wrong.
    """
    set_here = {name for name in os.environ if name.startswith(PREFIX)}
    for name in set_here - _KNOWN:
        near = _meant(name)
        if near:
            warn_once(f"{name} means nothing; did you mean {PREFIX}{near}?")
    # Most processes set none, and pydantic-settings takes longer to import than all else here.
    if _NAMES.isdisjoint(set_here):
        return {}
    return _read()


@functools.lru_cache(maxsize=64)
def _meant(name: str) -> str:
    return nearest(name.removeprefix(PREFIX), _OURS, cutoff=0.85)


def _network(value: object) -> object:
    if not isinstance(value, str) or value in ("none", "full"):
        return value
    return [part.strip() for part in value.split(",")]


def _read() -> dict[str, Any]:
    from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

    class Environment(ProfileFields, BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", strict=False, frozen=True
        )
        network: Annotated[
            Literal["none", "full"] | list[str] | None, BeforeValidator(_network)
        ] = None

    try:
        return Environment().model_dump(exclude_unset=True, exclude={"extends"})
    except ValidationError as error:
        wrong = problems(ProfileFields, error).items()
        lines = [f"environment: {PREFIX}{key.upper()}: {message}" for key, message in wrong]
        raise ConfigError("\n".join(lines)) from None
    except SettingsError as error:
        raise ConfigError(f"environment: {error}; tables are written as JSON") from None
