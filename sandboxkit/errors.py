"""Every error that sandboxkit raises.

A command's failure is a result; the sandbox's failure is an exception. The tree, with the
built-in that each error also is::

    SandboxError
    ├── ConfigError (ValueError)                 the configuration is wrong
    ├── InvalidRequestError (ValueError)         an argument is wrong; nothing was created
    ├── UnsupportedError (NotImplementedError)   the provider cannot do this
    ├── ProviderNotFoundError (LookupError)      no such provider is installed
    ├── ProviderUnavailableError                 it is installed but cannot work here
    ├── AuthenticationError (PermissionError)    the credentials were refused
    ├── RateLimitError                           too many requests; see retry_after
    ├── CreateTimeoutError (TimeoutError)        create_timeout passed; nothing was left behind
    ├── NotFoundError (LookupError)
    │   ├── SandboxNotFoundError                 it never was, or it ended (see cause)
    │   ├── SnapshotNotFoundError
    │   ├── TemplateNotFoundError
    │   └── ProcessNotFoundError (ProcessLookupError)
    ├── SandboxPausedError                       it stands still until it is resumed
    ├── PortRefusedError (ConnectionRefusedError)   nobody listens at the port
    ├── TransportError (ConnectionError)         the provider cannot be reached
    │   └── ProtocolError                        the other side sent what it must not
    ├── ExecError
    │   ├── CommandFailedError                   check=True and a non-zero exit
    │   ├── CommandTimeoutError (TimeoutError)   .result holds the partial output
    │   ├── CodeFailedError                      check=True and the code raised
    │   ├── CodeTimeoutError (TimeoutError)      .execution holds the partial results
    │   └── ExecLostError (ConnectionError)      no terminal event can be had; outcome unknown
    └── FileError (OSError)                      and the built-in that fits the errno:
        ├── PathNotFoundError (FileNotFoundError)
        ├── PathExistsError (FileExistsError)
        ├── PathIsDirectoryError (IsADirectoryError)
        ├── PathNotDirectoryError (NotADirectoryError)
        ├── PathPermissionError (PermissionError)
        └── WriteManyError                       several could not be written; .failures has each
"""

from __future__ import annotations

import errno as _errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

if TYPE_CHECKING:
    from .models import CommandOutput, CommandResult, Execution

__all__ = [
    "AuthenticationError",
    "Cause",
    "CodeFailedError",
    "CodeTimeoutError",
    "CommandFailedError",
    "CommandTimeoutError",
    "ConfigError",
    "CreateTimeoutError",
    "ExecError",
    "ExecLostError",
    "FileError",
    "InvalidRequestError",
    "NotFoundError",
    "Outcome",
    "PathExistsError",
    "PathIsDirectoryError",
    "PathNotDirectoryError",
    "PathNotFoundError",
    "PathPermissionError",
    "PortRefusedError",
    "ProcessNotFoundError",
    "ProtocolError",
    "ProviderNotFoundError",
    "ProviderUnavailableError",
    "RateLimitError",
    "SandboxError",
    "SandboxNotFoundError",
    "SandboxPausedError",
    "SnapshotNotFoundError",
    "TemplateNotFoundError",
    "TransportError",
    "UnsupportedError",
    "WriteManyError",
    "file_error",
    "located",
]

Outcome = Literal["not_started", "unknown", "completed"]
"""Did the operation happen? Only ``not_started`` may be repeated without thought."""

Cause = Literal["killed", "expired", "oom", "transport"]
"""Why a running thing was lost."""


class SandboxError(Exception):
    """The root of every error here.

    Attributes:
        code: a stable, machine-readable name, such as ``"sandbox_not_found"``.
        op: the operation that failed, such as ``"create"`` or ``"run"``.
        provider: the provider's name, where one was involved.
        sandbox_id: the sandbox, where one was involved.
        outcome: whether the operation happened (see `Outcome`).
        retryable: whether the same call may succeed later; ``None`` when nobody can know.
        retry_after: seconds to wait before trying again, where the provider said so.
        hint: the next command to type, also at the end of the message.
    """

    code: ClassVar[str] = "sandbox_error"
    default_outcome: ClassVar[Outcome] = "not_started"

    def __init__(
        self,
        message: str,
        *,
        op: str | None = None,
        provider: str | None = None,
        sandbox_id: str | None = None,
        outcome: Outcome | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.op = op
        self.provider = provider
        self.sandbox_id = sandbox_id
        self.outcome: Outcome = outcome or self.default_outcome
        self.retryable = retryable
        self.retry_after = retry_after
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  try: {self.hint}" if self.hint else self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The built-in bases would rebuild from args alone and lose every keyword.
        return _rebuild, (type(self), self.args, self.__dict__.copy())

    def locate(
        self, *, op: str | None = None, provider: str | None = None, sandbox_id: str | None = None
    ) -> SandboxError:
        """Fill in where this happened, where the raiser did not know it; returns itself."""
        self.op = self.op or op
        self.provider = self.provider or provider
        self.sandbox_id = self.sandbox_id or sandbox_id
        return self


@contextmanager
def located(**where: str | None) -> Iterator[None]:
    """Fill in ``op``, ``provider`` and ``sandbox_id`` of errors that pass through."""
    try:
        yield
    except SandboxError as error:
        error.locate(**where)
        raise


def _rebuild(cls: type[SandboxError], args: tuple[Any, ...], state: dict[str, Any]) -> SandboxError:
    error = (OSError if issubclass(cls, OSError) else Exception).__new__(cls, *args)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


class ConfigError(SandboxError, ValueError):
    """The configuration is wrong; the message names the file, and the line where there is one."""

    code = "config"


class InvalidRequestError(SandboxError, ValueError):
    """An argument is wrong. Raised before anything is created or sent."""

    code = "invalid_request"


class UnsupportedError(SandboxError, NotImplementedError):
    """The provider cannot do this. Raised before anything is paid for.

    Attributes:
        capability: the capability that is missing, as `Capabilities` names it.
    """

    code = "unsupported"

    def __init__(self, message: str, *, capability: str = "", **context: Any) -> None:
        super().__init__(message, retryable=False, **context)
        self.capability = capability


class ProviderNotFoundError(SandboxError, LookupError):
    """No provider of this name is installed; the hint names the nearest or how to install it."""

    code = "provider_not_found"


class ProviderUnavailableError(SandboxError, RuntimeError):
    """The provider is installed but cannot work here; the hint says what mends it."""

    code = "provider_unavailable"


class AuthenticationError(SandboxError, PermissionError):
    """The provider refused the credentials. The message never contains them."""

    code = "authentication"


class RateLimitError(SandboxError):
    """The provider refused for now; `retry_after` says for how long, where it told."""

    code = "rate_limit"


class CreateTimeoutError(SandboxError, TimeoutError):
    """The sandbox was not ready within ``create_timeout``; what had been made was killed."""

    code = "create_timeout"


class NotFoundError(SandboxError, LookupError):
    """What was addressed does not exist."""

    code = "not_found"


class SandboxNotFoundError(NotFoundError):
    """There is no such sandbox, or no longer.

    Attributes:
        cause: why it ended, where the provider remembers it.
    """

    code = "sandbox_not_found"

    def __init__(self, message: str, *, cause: Cause | None = None, **context: Any) -> None:
        super().__init__(message, retryable=False, **context)
        self.cause = cause


class SandboxPausedError(SandboxError):
    """The sandbox is paused; nothing was done. `Sandbox.resume` lets it go on."""

    code = "sandbox_paused"

    @classmethod
    def of(cls, address: str, **context: Any) -> Self:
        """The error for a sandbox of this address, which is what to do next."""
        return cls(
            f"sandbox {address} is paused; resume() or Sandbox.connect({address!r}) wakes it",
            hint=f"sandboxkit resume {address}",
            **context,
        )


class SnapshotNotFoundError(NotFoundError):
    """There is no such snapshot."""

    code = "snapshot_not_found"


class TemplateNotFoundError(NotFoundError):
    """The template's name means nothing to this provider."""

    code = "template_not_found"


class ProcessNotFoundError(NotFoundError, ProcessLookupError):
    """There is no such process in the sandbox, or its record is no longer kept."""

    code = "process_not_found"


class PortRefusedError(SandboxError, ConnectionRefusedError):
    """Nobody listens at this port of the sandbox; the message names what does."""

    code = "port_refused"


class TransportError(SandboxError, ConnectionError):
    """The provider or the guest cannot be reached, or the connection broke."""

    code = "transport"
    default_outcome = "unknown"


class ProtocolError(TransportError):
    """The other side sent what the protocol does not allow. It is not trusted any further."""

    code = "protocol"


class ExecError(SandboxError):
    """A command or a cell of code did not end as asked."""

    code = "exec"
    default_outcome: ClassVar[Outcome] = "completed"


class CommandFailedError(ExecError):
    """The command ended with a non-zero status and ``check`` was asked for."""

    code = "command_failed"

    def __init__(self, message: str, *, result: CommandResult, **context: Any) -> None:
        super().__init__(message, **context)
        self.result = result


class CommandTimeoutError(ExecError, TimeoutError):
    """The command did not end within its timeout; it and its descendants were killed.

    Attributes:
        result: what it had written until then; a `CommandResult` unless even its end is unknown.
    """

    code = "command_timeout"

    def __init__(self, message: str, *, result: CommandOutput, **context: Any) -> None:
        super().__init__(message, **context)
        self.result = result


class CodeFailedError(ExecError):
    """The code raised and ``check`` was asked for; `execution` holds all of it."""

    code = "code_failed"

    def __init__(self, message: str, *, execution: Execution, **context: Any) -> None:
        super().__init__(message, **context)
        self.execution = execution


class CodeTimeoutError(ExecError, TimeoutError):
    """The code did not end within its timeout.

    Attributes:
        execution: what it had produced until then.
        state_kept: whether the context's variables are still there.
    """

    code = "code_timeout"

    def __init__(
        self, message: str, *, execution: Execution, state_kept: bool, **context: Any
    ) -> None:
        super().__init__(message, **context)
        self.execution = execution
        self.state_kept = state_kept


class ExecLostError(ExecError, ConnectionError):
    """Nobody can say how this ended: the terminal event was lost for good.

    Attributes:
        cause: why it was lost.
        partial: what had been received until then.
    """

    code = "exec_lost"
    default_outcome = "unknown"

    def __init__(
        self,
        message: str,
        *,
        cause: Cause,
        partial: CommandOutput | Execution | None = None,
        **context: Any,
    ) -> None:
        super().__init__(message, **context)
        self.cause = cause
        self.partial = partial


class FileError(SandboxError, OSError):
    """A file operation failed inside the sandbox.

    Attributes:
        errno: the number of the error inside the sandbox (Linux's).
        path: the path it was about.
    """

    code = "file"
    default_errno: ClassVar[int] = _errno.EIO

    def __init__(
        self, message: str, *, path: str, errno: int | None = None, **context: Any
    ) -> None:
        super().__init__(message, **context)
        self.errno = errno or self.default_errno
        self.path = path
        self.filename = path


class PathNotFoundError(FileError, FileNotFoundError):
    """There is no file or directory of this name."""

    code = "path_not_found"
    default_errno = _errno.ENOENT


class PathExistsError(FileError, FileExistsError):
    """Something of this name is there already."""

    code = "path_exists"
    default_errno = _errno.EEXIST


class PathIsDirectoryError(FileError, IsADirectoryError):
    """A file was wanted and this is a directory."""

    code = "path_is_directory"
    default_errno = _errno.EISDIR


class PathNotDirectoryError(FileError, NotADirectoryError):
    """A directory was wanted and this is none."""

    code = "path_not_directory"
    default_errno = _errno.ENOTDIR


class PathPermissionError(FileError, PermissionError):
    """The sandbox's user may not do this."""

    code = "path_permission"
    default_errno = _errno.EACCES


class WriteManyError(FileError):
    """Several of the files that were to be written were not; the others were.

    Attributes:
        failures: the error of each, by its path as it was given; this error's own ``path`` and
            ``errno`` are the first one's.
    """

    code = "write_many"

    def __init__(self, message: str, *, failures: Mapping[str, FileError], **context: Any) -> None:
        first = next(iter(failures.values()))
        super().__init__(message, path=first.path, errno=first.errno, **context)
        self.failures = dict(failures)


_BY_ERRNO: dict[int, type[FileError]] = {
    _errno.ENOENT: PathNotFoundError,
    _errno.EEXIST: PathExistsError,
    _errno.EISDIR: PathIsDirectoryError,
    _errno.ENOTDIR: PathNotDirectoryError,
    _errno.EACCES: PathPermissionError,
    _errno.EPERM: PathPermissionError,
}


def file_error(errno: int, path: str, message: str, **context: Any) -> FileError:
    """The file error that fits an errno; a plain `FileError` where none does."""
    return _BY_ERRNO.get(errno, FileError)(message, path=path, errno=errno, **context)
