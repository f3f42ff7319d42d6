"""What users ask for when they create a sandbox, checked before anything is made."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationError

from .egress.rules import normal
from .errors import InvalidRequestError
from .mounts import Mount, mounts_from
from .units import parse_duration, parse_size

__all__ = ["NetworkPolicy", "Resources", "SandboxSpec", "validate_path", "worded"]

NetworkPolicy = Literal["none", "full"] | tuple[str, ...]
"""Cut off, unrestricted, or only these hosts and networks.

A host is a name (``example.org``), all names below one (``*.example.org``) or an address; a network
is written ``10.0.0.0/8``.
"""


def _seconds(value: Any) -> Any:
    return value if value is None else parse_duration(value)


def _bytes(value: Any) -> Any:
    return value if value is None else parse_size(value)


def _names(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | set | frozenset) else value


def _network(value: Any) -> Any:
    return normal(value) if isinstance(value, list | tuple | set | frozenset) else value


Seconds = Annotated[float | None, BeforeValidator(_seconds)]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Bytes = Annotated[int | None, BeforeValidator(_bytes), Field(gt=0)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Resources(_Model):
    """Limits of a sandbox; ``None`` is the provider's default.

    Attributes:
        cpu: cores, may be fractional.
        memory: bytes, or text such as ``"2GiB"``.
        disk: bytes that may be written, or text.
        pids: processes and threads at once.
    """

    cpu: float | None = Field(default=None, gt=0)
    memory: Bytes = None
    disk: Bytes = None
    pids: int | None = Field(default=None, gt=0)


class SandboxSpec(_Model):
    """Everything `create` takes. Durations are seconds, sizes are bytes, once validated.

    Attributes:
        template: a logical name from the configuration, a provider's own built-in name,
            or ``native:ID``.
        image: a container image instead of a template.
        snapshot: a snapshot's address or name instead of a template.
        lifetime: until the sandbox ends by itself.
        idle_timeout: how long it may do nothing.
        create_timeout: by when it must be ready.
        on_timeout: what happens at the end of its lifetime.
        env: set for every command.
        workdir: where relative paths start; absolute.
        user: who commands run as.
        metadata: text to find it by later.
        resources: limits.
        network: what it may reach.
        ports: ports that must be reachable; where the provider reaches ports it reaches all.
        mounts: host directories to show inside, read-only unless they say otherwise.
        files: written before `create` returns: path to content, or to the `Path` of a local file or
            directory.
        session: names a group of sandboxes; the process's own if ``None``.
        keep_on_error: do not kill a sandbox whose preparation failed.
        best_effort: go without conveniences and limits that the provider lacks.
        provider_options: for this provider alone, passed through.
    """

    template: str | None = None
    image: str | None = None
    snapshot: str | None = None
    lifetime: Seconds = 3600.0
    idle_timeout: Seconds = None
    create_timeout: Seconds = 120.0
    on_timeout: Literal["kill", "pause"] = "kill"
    env: Mapping[str, str] = Field(default_factory=dict)
    workdir: str | None = None
    user: str | None = None
    metadata: Mapping[str, str] = Field(default_factory=dict)
    resources: Resources = Resources()
    network: Annotated[NetworkPolicy, BeforeValidator(_network)] = "none"
    ports: Annotated[tuple[Port, ...], BeforeValidator(_names)] = ()
    mounts: Annotated[tuple[InstanceOf[Mount], ...], BeforeValidator(mounts_from)] = ()
    files: Mapping[str, str | bytes | Path] = Field(default_factory=dict)
    session: str | None = None
    keep_on_error: bool = False
    best_effort: bool = False
    provider_options: Mapping[str, Any] = Field(default_factory=dict)

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> SandboxSpec:
        """Validate keyword arguments as `create` takes them.

        Raises:
            InvalidRequestError: a name or a value is wrong; the message says which and why.
        """
        for name in values:
            if name not in cls.model_fields:
                raise InvalidRequestError(_unknown_argument(name, cls), op="create")
        given = {name: value for name, value in values.items() if value is not None}
        given |= {name: None for name in ("lifetime",) if values.get(name, 0) is None}
        try:
            spec = cls.model_validate(given)
        except ValidationError as error:
            raise InvalidRequestError(f"create: {_told(error.errors()[0])}", op="create") from None
        spec._check_together()
        return spec

    def _check_together(self) -> None:
        origins = [name for name in ("template", "image", "snapshot") if getattr(self, name)]
        if len(origins) > 1:
            raise InvalidRequestError(
                f"create: give one of template, image and snapshot, not {' and '.join(origins)}",
                op="create",
            )
        for name in ("lifetime", "create_timeout", "idle_timeout"):
            if getattr(self, name) == 0:
                raise InvalidRequestError(
                    f"create: {name} must be more than zero seconds", op="create"
                )
        for name, value in self.env.items():
            if not name or "=" in name or "\0" in name + value:
                raise InvalidRequestError(
                    f"create: env: {name!r} is not a variable's name or its value has a NUL byte",
                    op="create",
                )
        if self.workdir is not None and not self.workdir.startswith("/"):
            raise InvalidRequestError(
                f"create: workdir {self.workdir!r} must be an absolute path", op="create"
            )
        for path in self.files:
            validate_path(path, "create")


def _unknown_argument(name: str, spec: type[SandboxSpec]) -> str:
    if name == "timeout":
        return (
            "create: there is no 'timeout': say lifetime=... for how long the sandbox may live, "
            "or create_timeout=... for how long its creation may take"
        )
    if name in Resources.model_fields:
        return f"create: there is no {name!r}; did you mean resources={{{name!r}: ...}}?"
    near = difflib.get_close_matches(name, spec.model_fields, n=1)
    return f"create: there is no {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


_NESTED = ("resources", "env", "metadata", "provider_options", "ports", "mounts")


def _told(problem: Any) -> str:
    """One of pydantic's problems: the argument, what was given, what is wrong with it."""
    # What follows the name of any other argument is a member of a union: none of ours.
    place = problem["loc"][: 2 if problem["loc"][0] in _NESTED else 1]
    where = ".".join(str(part) for part in place)
    if problem["type"] == "extra_forbidden":
        known = sorted(Resources.model_fields)
        near = difflib.get_close_matches(str(place[-1]), known, n=1)
        means = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"{place[0]}: there is no {place[-1]!r}; {means}"
    message = worded(problem)
    kind, _, rest = message.partition(" ")
    if kind in ("duration", "size"):  # units.py shows the value itself
        return f"{where} {rest}"
    return f"{where} = {_shown(problem['input'])}: {message}"


def worded(problem: Mapping[str, Any]) -> str:
    """What one of pydantic's problems says, in our words."""
    if problem["loc"][:1] == ("network",) and problem["type"] != "value_error":
        return 'must be "none", "full" or a list of hosts'
    message = str(problem["msg"]).removeprefix("Value error, ")
    return message.replace("Input should be ", "must be ", 1).replace("a valid string", "text")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def validate_path(path: str, op: str) -> str:
    """Return the path if it can be one.

    Raises:
        InvalidRequestError: it is empty or has a NUL byte.
    """
    if not isinstance(path, str):
        raise InvalidRequestError(f"{op}: a path is text, not {path!r:.60}", op=op)
    if not path:
        raise InvalidRequestError(f"{op}: the path is empty", op=op)
    if "\0" in path:
        raise InvalidRequestError(f"{op}: the path {path!r} has a NUL byte", op=op)
    return path
