"""What the SDK raises, as our errors: the one table.

The SDK's exceptions have no common root: of its own, six families stand beside
``SandboxException``, and what its HTTP clients and its protocol library raise comes through now and
then. Where a row is missing, a test finds it.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

import connectrpc.errors
import e2b
import httpcore
import httpx
import pyqwest
from e2b import exceptions as sdk

from sandboxkit import errors
from sandboxkit.provider.translating import Translated

__all__ = ["TABLE", "Rule", "translate", "translated"]

_KEYS = "https://e2b.dev/dashboard?tab=keys"
MISSING_KEY = (
    f"E2B needs an API key, which {_KEYS} gives: set E2B_API_KEY, or the setting api_key of the "
    "profile"
)
KEY_HINT = (
    'export E2B_API_KEY=..., or write api_key = "env:E2B_API_KEY" under [profiles.NAME]; '
    "sandboxkit doctor e2b"
)


class Rule(NamedTuple):
    """What becomes of an exception.

    Attributes:
        error: ours.
        outcome: whether it happened.
        retryable: whether the same may work later.
        hint: the next thing to do.
    """

    error: type[errors.SandboxError]
    outcome: errors.Outcome = "not_started"
    retryable: bool | None = None
    hint: str = ""


_LOST = Rule(errors.TransportError, "unknown", True)
_NEVER_SENT = Rule(errors.TransportError, "not_started", True, "sandboxkit doctor e2b")
_GARBLED = Rule(errors.ProtocolError, "unknown", True)
_GONE = Rule(errors.SandboxNotFoundError)
_AUTHENTICATION = Rule(errors.AuthenticationError, hint=KEY_HINT)
_UNEXPLAINED = Rule(errors.SandboxError, "unknown")

TABLE: dict[type[BaseException], Rule] = {
    # The SDK's own, by its tree.
    sdk.SandboxException: _UNEXPLAINED,
    sdk.TimeoutException: _LOST,
    sdk.SandboxNotRunningException: _GONE,
    sdk.SandboxUnreachableException: _LOST,
    sdk.InvalidArgumentException: Rule(errors.InvalidRequestError),
    sdk.NotEnoughSpaceException: Rule(errors.FileError, "unknown"),
    sdk.NotFoundException: Rule(errors.NotFoundError),
    sdk.FileNotFoundException: Rule(errors.PathNotFoundError),
    sdk.SandboxNotFoundException: _GONE,
    sdk.TemplateException: Rule(errors.TemplateNotFoundError),
    sdk.RateLimitException: Rule(errors.RateLimitError, "not_started", True),
    sdk.GuestUnresponsiveException: Rule(errors.ProviderUnavailableError),
    sdk.GitUpstreamException: Rule(errors.InvalidRequestError),
    e2b.CommandExitException: Rule(errors.ExecError, "completed"),
    e2b.VolumeNotFoundException: Rule(errors.NotFoundError),
    e2b.VolumePathNotFoundException: Rule(errors.PathNotFoundError),
    # And what is beside that tree.
    sdk.AuthenticationException: _AUTHENTICATION,
    sdk.GitAuthException: Rule(errors.AuthenticationError),
    sdk.ServiceBusyException: Rule(errors.TransportError, "unknown", True),
    sdk.BuildException: Rule(errors.ProviderUnavailableError, "unknown"),
    e2b.DockerfileSyntaxError: Rule(errors.InvalidRequestError),
    sdk.FileUploadException: Rule(errors.TransportError, "unknown"),
    e2b.VolumeException: _UNEXPLAINED,
    e2b.SecretException: _UNEXPLAINED,
    e2b.SecretNotFoundException: Rule(errors.NotFoundError),
    # Its HTTP clients.
    httpx.HTTPError: _LOST,
    httpx.ConnectError: _NEVER_SENT,
    httpx.ConnectTimeout: _NEVER_SENT,
    httpx.PoolTimeout: _NEVER_SENT,
    httpx.ProxyError: _NEVER_SENT,
    httpx.UnsupportedProtocol: Rule(errors.ConfigError),
    httpx.InvalidURL: Rule(errors.ConfigError),
    httpx.CookieConflict: _LOST,
    httpx.StreamError: _LOST,
    httpcore.NetworkError: _LOST,
    httpcore.TimeoutException: _LOST,
    httpcore.ProtocolError: _LOST,
    httpcore.ConnectionNotAvailable: _NEVER_SENT,
    httpcore.ConnectError: _NEVER_SENT,
    httpcore.ConnectTimeout: _NEVER_SENT,
    httpcore.PoolTimeout: _NEVER_SENT,
    httpcore.ProxyError: _NEVER_SENT,
    httpcore.UnsupportedProtocol: Rule(errors.ConfigError),
    pyqwest.ConnectTimeout: _NEVER_SENT,
    pyqwest.RemoteProtocolError: _LOST,
    pyqwest.TooManyRedirects: _LOST,
    pyqwest.ReadError: _LOST,
    pyqwest.WriteError: _LOST,
    pyqwest.StreamError: _LOST,
    # Its protocol library, and the built-in ones that the clients let through.
    connectrpc.errors.ConnectError: _LOST,
    ConnectionError: _NEVER_SENT,  # how a client says that it could not connect
    ConnectionAbortedError: _LOST,
    ConnectionResetError: _LOST,
    BrokenPipeError: _LOST,
    TimeoutError: _LOST,
    json.JSONDecodeError: _GARBLED,
}
"""By exception: what becomes of it. A subclass without a row takes its nearest ancestor's."""

# What a status says where the SDK has but its root for it.
_BY_STATUS: dict[int, Rule] = {
    400: Rule(errors.InvalidRequestError),
    403: Rule(errors.AuthenticationError),
    404: Rule(errors.NotFoundError),
    501: Rule(errors.UnsupportedError),
    502: _LOST,
    504: _LOST,
}


# What the SDK's generated models raise for an answer of another form, as of a proxy on the way.
_MISREAD = (AttributeError, KeyError, TypeError, ValueError)


def translate(
    error: BaseException, *, redacted: Callable[[str], str] = str
) -> errors.SandboxError | None:
    """Our error for what the SDK raised; ``None`` if it is none of its.

    Args:
        error: raised by a call of the SDK.
        redacted: takes secrets out of a message.
    """
    rule = _rule(error)
    if rule is None:
        return None
    if rule is _AUTHENTICATION and "API key is required" in str(error):
        return errors.AuthenticationError(MISSING_KEY, hint=KEY_HINT)
    return _made(rule, f"E2B: {error}" if str(error) else f"E2B: {type(error).__name__}", redacted)


def _made(rule: Rule, message: str, redacted: Callable[[str], str]) -> errors.SandboxError:
    message = redacted(message)
    if issubclass(rule.error, errors.FileError):
        number = errno.ENOSPC if rule.error is errors.FileError else rule.error.default_errno
        made: errors.SandboxError = rule.error(message, path="", errno=number)
    else:
        made = rule.error(message)
    made.outcome = rule.outcome
    made.hint = rule.hint or None
    if rule.retryable is not None:
        made.retryable = rule.retryable
    return made


def _rule(error: BaseException) -> Rule | None:
    if type(error) is Exception:  # the SDK raises these for answers without a body
        return _UNEXPLAINED
    if type(error) is sdk.SandboxException and error.status_code in _BY_STATUS:
        return _BY_STATUS[error.status_code]
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return None


def _is_theirs(trace: TracebackType | None) -> bool:
    """Whether something was raised in the SDK's own code."""
    innermost = ""
    while trace is not None:
        innermost = trace.tb_frame.f_globals.get("__name__", "")
        trace = trace.tb_next
    return innermost.partition(".")[0] in ("e2b", "e2b_code_interpreter")


def translated(op: str, redacted: Callable[[str], str] = str) -> Translated:
    """A ``with`` block in which what the SDK raises becomes ours.

    Args:
        op: what is being done.
        redacted: takes secrets out of a message.
    """

    def ours(error: BaseException, trace: TracebackType | None) -> errors.SandboxError | None:
        made = translate(error, redacted=redacted)
        if made is None and isinstance(error, _MISREAD) and _is_theirs(trace):
            made = _made(_GARBLED, f"E2B: an answer that is none: {error!r}", redacted)
        return made

    return Translated(op, "e2b", ours)
