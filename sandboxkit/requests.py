"""From friendly arguments to the frozen requests of the SPI."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import InvalidRequestError, UnsupportedError
from .gate import require
from .models import SandboxInfo, SnapshotKind
from .provider import ForkRequest, LifetimeRequest, PauseRequest, Provider, StartRequest
from .resolve import Unset
from .spec import validate_path
from .units import Duration, parse_duration

__all__ = [
    "MAX_FORKS",
    "MAX_NAME",
    "check_callbacks",
    "check_kind",
    "check_snapshot_name",
    "environment",
    "fork_request",
    "lifetime_request",
    "pause_request",
    "positive_timeout",
    "run_request",
    "seconds_of",
    "session_labels",
]

MAX_FORKS = 1000
"""Sandboxes that one fork makes."""

MAX_NAME = 128
"""Characters of a snapshot's name."""


PAUSED: Duration = "24h"
"""How long a paused sandbox is kept unless its owner says."""


def lifetime_request(
    provider: Provider, sandbox_id: str, lifetime: Duration | None
) -> LifetimeRequest:
    """Another lifetime.

    Raises:
        InvalidRequestError: it is zero or less.
        UnsupportedError: there must be one.
    """
    seconds = seconds_of(lifetime, "set_lifetime")
    if seconds is None:
        require(provider, "set_lifetime(None)", "lifetime_unlimited")
    return LifetimeRequest(sandbox_id=sandbox_id, lifetime=seconds)


def pause_request(
    provider: Provider, sandbox_id: str, lifetime: Duration | Unset | None
) -> PauseRequest:
    """Pause, for as long as is said, else as long as the provider can.

    Raises:
        InvalidRequestError: the lifetime is zero or less.
        UnsupportedError: the provider ends no paused sandbox, and a lifetime is given.
    """
    if isinstance(lifetime, Unset):
        lifetime = PAUSED if provider.capabilities.pause_lifetime else None
    seconds = seconds_of(lifetime, "pause")
    if seconds is not None:
        require(provider, f"pause(lifetime={lifetime!r})", "pause_lifetime")
    return PauseRequest(sandbox_id=sandbox_id, lifetime=seconds)


def positive_timeout(timeout: Duration | None, op: str) -> float | None:
    """A timeout in seconds.

    Raises:
        InvalidRequestError: it is zero or less; ``None`` is the way to have none.
    """
    if timeout is None:
        return None
    seconds = parse_duration(timeout, f"{op}: timeout")
    if seconds == 0:
        raise InvalidRequestError(
            f"{op}: timeout must be more than zero seconds; None is no limit", op=op
        )
    return seconds


def seconds_of(lifetime: Duration | None, op: str) -> float | None:
    """A lifetime in seconds; ``None`` is never.

    Raises:
        InvalidRequestError: it is zero or less.
    """
    seconds = None if lifetime is None else parse_duration(lifetime, f"{op}: lifetime")
    if seconds == 0:
        raise InvalidRequestError(f"{op}: a lifetime is more than zero seconds; or kill it", op=op)
    return seconds


def check_kind(kind: SnapshotKind, op: str) -> None:
    """See that no more is to be kept than files.

    Raises:
        UnsupportedError: it is; no provider does that yet.
    """
    if kind != "filesystem":
        raise UnsupportedError(
            f"{op}: no provider here keeps {kind!r}, only 'filesystem'",
            capability="memory_snapshots",
            hint="sandboxkit providers",
            op=op,
        )


def check_snapshot_name(name: object) -> None:
    """See that a snapshot can be called by its name, and not be taken for an address.

    Raises:
        InvalidRequestError: it is empty, longer than 128 characters, not printable, begins or ends
            with a blank, or has a colon or a slash in it.
    """
    if name is None:
        return
    fits = isinstance(name, str) and name == name.strip() and name.isprintable()
    if not (fits and 0 < len(str(name)) <= MAX_NAME and not {":", "/"} & {*str(name)}):
        raise InvalidRequestError(
            f"name={name!r}: a snapshot's name has 1 to {MAX_NAME} printable characters, without "
            "colons and slashes and without blanks at its ends",
            op="snapshot",
        )


def session_labels(session: str | None) -> dict[str, str]:
    """The labels of what is made from a sandbox that is known to be of this session."""
    return {} if session is None else {"session": session}


def fork_request(
    sandbox_id: str, n: int, kind: SnapshotKind, lifetime: Duration | None, session: str | None
) -> ForkRequest:
    """What `fork` asks of the provider.

    Raises:
        InvalidRequestError: `n` is not a number from 1 to `MAX_FORKS`, or `lifetime` no duration.
        UnsupportedError: `kind` is deeper than files.
    """
    if type(n) is not int or not 1 <= n <= MAX_FORKS:
        raise InvalidRequestError(f"fork: {n!r} is not a number from 1 to {MAX_FORKS}", op="fork")
    check_kind(kind, "fork")
    return ForkRequest(
        sandbox_id=sandbox_id,
        count=n,
        labels=session_labels(session),
        lifetime=seconds_of(lifetime, "fork"),
    )


def run_request(
    info: SandboxInfo,
    cmd: str | Sequence[str],
    cwd: str | None,
    env: Mapping[str, str] | None,
    user: str | None,
    timeout: Duration | None,
    *,
    bound: bool,
) -> StartRequest:
    """The request to start a command, checked.

    Raises:
        InvalidRequestError: an argument cannot be; nothing was started.
    """
    if cwd is not None:
        cwd = posixpath.normpath(posixpath.join(info.workdir, validate_path(cwd, "run")))
    return StartRequest(
        sandbox_id=info.id,
        command=_command(cmd),
        cwd=cwd,
        env=environment(env or {}, "run"),
        user=user,
        timeout=positive_timeout(timeout, "run"),
        bound=bound,
    )


def _command(cmd: Any) -> str | tuple[str, ...]:
    if isinstance(cmd, bytes) or not isinstance(cmd, Sequence):
        raise InvalidRequestError(
            f"run: a command is text or a list of text with a program first, not {cmd!r:.60}",
            op="run",
        )
    command = cmd if isinstance(cmd, str) else tuple(cmd)
    words = (command,) if isinstance(command, str) else command
    if not command or any(not isinstance(word, str) for word in words) or not words[0]:
        raise InvalidRequestError(
            f"run: a command is text or a list of text with a program first, not {cmd!r}", op="run"
        )
    if any("\0" in word for word in words):
        raise InvalidRequestError("run: a command cannot have a NUL byte in it", op="run")
    return command


def environment(env: Mapping[Any, Any], op: str) -> dict[str, str]:
    """Environment variables, checked.

    Raises:
        InvalidRequestError: a name or a value cannot be one.
    """
    for name, value in env.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidRequestError(f"{op}: env: {name!r}={value!r:.60} is not text", op=op)
        if not name or "=" in name or "\0" in name + value:
            raise InvalidRequestError(
                f"{op}: env: {name!r} is not a variable's name or its value has a NUL byte", op=op
            )
    return dict(env)


def check_callbacks(op: str, *callbacks: object) -> None:
    """See that each is callable or ``None``.

    Raises:
        InvalidRequestError: one is not; nothing was started.
    """
    for callback in callbacks:
        if callback is not None and not callable(callback):
            raise InvalidRequestError(f"{op}: a callback is callable, not {callback!r:.60}", op=op)
