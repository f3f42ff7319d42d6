"""The guest's errors as ours, in one table."""

from __future__ import annotations

import errno as _errno
from collections.abc import Callable

from ..errors import (
    ExecError,
    InvalidRequestError,
    NotFoundError,
    PathNotFoundError,
    PortRefusedError,
    ProcessNotFoundError,
    RateLimitError,
    SandboxError,
    TransportError,
    UnsupportedError,
    file_error,
)
from .fields import Fields

__all__ = ["guest_error"]

MAX_MESSAGE = 2000
MAX_ERRNO = 4095
PROCESS_OPS = frozenset({"attach", "kill_tree"})


def guest_error(op: str, error: Fields) -> SandboxError:
    """The exception for the payload of an ERROR frame that answered `op`."""
    code = str(error.get("code"))[:MAX_MESSAGE]
    message = str(error.get("message") or code)[:MAX_MESSAGE]
    make = _TABLE.get(code)
    if make is None:
        return TransportError(f"the guest answered with an unknown error {code!r}: {message}")
    return make(op, message, error)


def _not_found(op: str, message: str, error: Fields) -> SandboxError:
    return ProcessNotFoundError(message) if op in PROCESS_OPS else NotFoundError(message)


def _file(op: str, message: str, error: Fields) -> SandboxError:
    number = error.get("errno")
    if type(number) is not int or not 0 < number <= MAX_ERRNO:
        number = _errno.EIO
    path = _path(error)
    return file_error(number, path, f"{path}: {message}" if path else message)


def _path(error: Fields) -> str:
    return str(error.get("path") or "")[:MAX_MESSAGE]


_TABLE: dict[str, Callable[[str, str, Fields], SandboxError]] = {
    "bad_request": lambda op, message, error: InvalidRequestError(message),
    "broken": lambda op, message, error: ExecError(message, outcome="not_started"),
    "errno": _file,
    "no_such_cwd": lambda op, message, error: PathNotFoundError(message, path=_path(error)),
    "no_such_user": lambda op, message, error: InvalidRequestError(message),
    "not_found": _not_found,
    "refused": lambda op, message, error: PortRefusedError(message, retryable=True),
    "reset": lambda op, message, error: TransportError(message),
    "too_many": lambda op, message, error: RateLimitError(message),
    # The guest names itself what is to be installed.
    "unsupported": lambda op, message, error: UnsupportedError(message),
}
