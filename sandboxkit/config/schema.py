"""What may stand in a configuration file, and in which words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sandboxkit.errors import ConfigError, InvalidRequestError
from sandboxkit.spec import worded
from sandboxkit.units import parse_duration, parse_size

__all__ = [
    "DEFAULTS",
    "DEFAULT_TEMPLATES",
    "FILE_KEYS",
    "TABLES",
    "CreateFields",
    "ProfileFields",
    "TemplateFields",
    "check",
    "nearest",
    "problems",
    "suggestion",
]

DEFAULTS: dict[str, Any] = {
    "lifetime": "1h",
    "create_timeout": "2m",
    "on_timeout": "kill",
    "network": "none",
}
"""What `create` uses where nobody says otherwise."""

DEFAULT_TEMPLATES = frozenset({"default", "python"})
"""Logical names that mean a provider's own default, which always has Python in it."""

FILE_KEYS = ("default_profile", "profiles", "templates")

TABLES = frozenset({"env", "metadata", "provider_options", "resources"})
"""Fields that are merged key by key; all others are replaced as a whole."""


_NUMBER = re.compile(r"\d+(\.\d+)?")


def _number(value: object) -> object:
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


def _duration(value: str | float) -> str | float:
    try:
        parse_duration(value)
    except InvalidRequestError as error:
        raise ValueError(error.message) from None
    return value


def _duration_or_never(value: str | float) -> str | float | None:
    return None if value == "never" else _duration(value)


def _size(value: str | int) -> str | int:
    try:
        parse_size(value)
    except InvalidRequestError as error:
        raise ValueError(error.message) from None
    return value


_Duration = Annotated[str | float, BeforeValidator(_number), AfterValidator(_duration)]
_Lifetime = Annotated[str | float, BeforeValidator(_number), AfterValidator(_duration_or_never)]
_Size = Annotated[str | int, AfterValidator(_size)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ResourceFields(_Strict):
    """How much of the machine a sandbox may use."""

    cpu: Annotated[float, Field(gt=0)] | None = None
    memory: _Size | None = None
    disk: _Size | None = None
    pids: Annotated[int, Field(gt=0)] | None = None


class MountFields(_Strict):
    """A host directory shown inside."""

    source: str
    target: str
    read_only: bool = True


class CreateFields(_Strict):
    """The arguments of `create` that a profile or ``SANDBOXKIT_<FIELD>`` may preset.

    ``lifetime`` and ``idle_timeout`` may be ``"never"``.
    """

    template: str | None = None
    image: str | None = None
    lifetime: _Lifetime | None = None
    idle_timeout: _Lifetime | None = None
    create_timeout: _Duration | None = None
    on_timeout: Literal["kill", "pause"] | None = None
    resources: ResourceFields | None = None
    network: Literal["none", "full"] | list[str] | None = None
    mounts: list[str | MountFields] | None = None
    env: dict[str, str] = {}
    metadata: dict[str, str] = {}
    user: str | None = None
    workdir: str | None = None
    best_effort: bool | None = None
    provider_options: dict[str, Any] = {}


class ProfileFields(CreateFields):
    """A profile without the settings that only its provider knows."""

    extends: str | None = None
    provider: str | None = None


class TemplateFields(_Strict):
    """A template without the providers' own things."""

    pip: list[str] = []
    preload: list[str] = []
    aliases: list[str] = []
    shell: str | None = None


def check(model: type[BaseModel], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values as `model` reads them, those that were given only.

    Raises:
        ConfigError: one of them is wrong; the message begins with `where`.
    """
    try:
        return model.model_validate(values).model_dump(exclude_unset=True)
    except ValidationError as error:
        lines = [f"{where}: {key}: {message}" for key, message in problems(model, error).items()]
        raise ConfigError("\n".join(lines)) from None


def problems(model: type[BaseModel], error: ValidationError) -> dict[str, str]:
    """What is wrong, by key; a union, which reports once for each member, is told of once."""
    found: dict[str, str] = {}
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        place = [str(part) for part in problem["loc"]]
        message = worded(problem)
        if problem["type"] == "extra_forbidden":
            owner = ResourceFields if place[0] == "resources" else model
            message = f"unknown key; {suggestion(place[-1], owner.model_fields)}"
        found.setdefault(".".join(place[: 2 if place[0] in TABLES else 1]), message)
    return found


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The one of `known` that `name` is most likely meant to be, or an empty string."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), "")


def suggestion(name: str, known: Iterable[str]) -> str:
    """What to write instead of a name that means nothing."""
    known = sorted(known)
    near = nearest(name, known)
    if near:
        return f"did you mean {near!r}?"
    return f"known: {', '.join(known)}"
