"""What the SDK raises, as our errors: the one table.

Its own exceptions have one root, but what its generated clients, its HTTP clients and its models
raise comes through now and then. Where a row is missing, a test finds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import aiohttp
import daytona_api_client.exceptions
import daytona_api_client_async.exceptions
import daytona_toolbox_api_client.exceptions
import daytona_toolbox_api_client_async.exceptions
import httpx
import pydantic
from daytona.common import errors as sdk

from sandboxkit import errors
from sandboxkit.provider.translating import Translated

__all__ = ["TABLE", "Rule", "translate", "translated"]

MISSING_KEY = (
    "Daytona needs an API key, which https://app.daytona.io/dashboard/keys gives: set "
    "DAYTONA_API_KEY, or the setting api_key of the profile"
)
KEY_HINT = (
    'export DAYTONA_API_KEY=..., or write api_key = "env:DAYTONA_API_KEY" under [profiles.NAME]; '
    "sandboxkit doctor daytona"
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
_NEVER_SENT = Rule(errors.TransportError, "not_started", True, "sandboxkit doctor daytona")
_KEY = Rule(errors.AuthenticationError, hint=KEY_HINT)
_BAD = Rule(errors.InvalidRequestError)
_MISSING = Rule(errors.NotFoundError)
_BROKEN = Rule(errors.ProviderUnavailableError, "unknown")
_BUSY = Rule(errors.RateLimitError, "not_started", True)
_UNEXPLAINED = Rule(errors.SandboxError, "unknown")
_MALFORMED = Rule(errors.ProtocolError, "unknown")

TABLE: dict[type[BaseException], Rule] = {
    # The SDK's own, by its tree.
    sdk.DaytonaError: _UNEXPLAINED,
    sdk.DaytonaNotFoundError: _MISSING,
    sdk.DaytonaAuthenticationError: _KEY,
    sdk.DaytonaForbiddenError: Rule(errors.AuthenticationError),
    sdk.DaytonaRateLimitError: _BUSY,
    sdk.DaytonaConflictError: _BAD,
    sdk.DaytonaBadRequestError: _BAD,
    sdk.DaytonaTimeoutError: _LOST,
    sdk.DaytonaQueueTimeoutError: Rule(errors.CreateTimeoutError, "completed", True),
    sdk.DaytonaSpotEvictedError: Rule(errors.SandboxNotFoundError),
    sdk.DaytonaConnectionError: _LOST,
    sdk.DaytonaConnectionTimeoutError: _LOST,
    sdk.DaytonaGoneError: _MISSING,
    sdk.DaytonaUnprocessableEntityError: _BAD,
    sdk.DaytonaInternalServerError: _BROKEN,
    sdk.DaytonaBadGatewayError: _LOST,
    sdk.DaytonaServiceUnavailableError: _BROKEN,
    sdk.DaytonaGitAuthFailedError: Rule(errors.AuthenticationError),
    sdk.DaytonaGitRepoNotFoundError: _MISSING,
    sdk.DaytonaGitBranchNotFoundError: _MISSING,
    sdk.DaytonaGitBranchExistsError: _BAD,
    sdk.DaytonaGitPushRejectedError: _BAD,
    sdk.DaytonaGitDirtyWorktreeError: _BAD,
    sdk.DaytonaGitMergeConflictError: _BAD,
    sdk.DaytonaGitTransportFailedError: _LOST,
    sdk.DaytonaGitRemoteRejectedError: _BAD,
    sdk.DaytonaFileNotFoundError: Rule(errors.PathNotFoundError),
    sdk.DaytonaFileAccessDeniedError: Rule(errors.PathPermissionError),
    sdk.DaytonaInvalidFilePathError: _BAD,
    sdk.DaytonaFileReadFailedError: Rule(errors.FileError, "unknown"),
    sdk.DaytonaLspServerNotInitializedError: _BAD,
    sdk.DaytonaProcessExecutionTimeoutError: Rule(errors.ExecError, "completed"),
    sdk.DaytonaProcessNotFoundError: Rule(errors.ProcessNotFoundError),
    sdk.DaytonaSessionEndedError: Rule(errors.ProcessNotFoundError),
    sdk.DaytonaCommandAlreadyCompletedError: Rule(errors.ProcessNotFoundError),
    sdk.DaytonaA11yUnavailableError: _BROKEN,
    sdk.DaytonaRecordingStillActiveError: _BAD,
    sdk.DaytonaRecordingFfmpegNotFoundError: _BROKEN,
    # Its generated clients, where the SDK lets them through.
    daytona_api_client.exceptions.OpenApiException: _UNEXPLAINED,
    daytona_api_client_async.exceptions.OpenApiException: _UNEXPLAINED,
    daytona_toolbox_api_client.exceptions.OpenApiException: _UNEXPLAINED,
    daytona_toolbox_api_client_async.exceptions.OpenApiException: _UNEXPLAINED,
    # Its HTTP clients.
    aiohttp.ClientError: _LOST,
    aiohttp.ClientConnectorError: _NEVER_SENT,
    aiohttp.ClientProxyConnectionError: _NEVER_SENT,
    aiohttp.InvalidURL: Rule(errors.ConfigError),
    aiohttp.WebSocketError: _LOST,
    aiohttp.WSMessageTypeError: _MALFORMED,
    aiohttp.BadContentDispositionHeader: _MALFORMED,
    aiohttp.BadContentDispositionParam: _MALFORMED,
    aiohttp.EofStream: _LOST,
    httpx.HTTPError: _LOST,
    httpx.ConnectError: _NEVER_SENT,
    httpx.ConnectTimeout: _NEVER_SENT,
    httpx.PoolTimeout: _NEVER_SENT,
    httpx.StreamError: _LOST,
    httpx.InvalidURL: Rule(errors.ConfigError),
    httpx.CookieConflict: _LOST,
    # Answers that are not what they should be, and the built-in ones that the clients let through.
    pydantic.ValidationError: _MALFORMED,
    json.JSONDecodeError: _MALFORMED,
    ConnectionError: _LOST,
    ConnectionRefusedError: _NEVER_SENT,
    TimeoutError: _LOST,
}
"""By exception: what becomes of it. A subclass without a row takes its nearest ancestor's."""

# What a status says where there is no better class for it.
_BY_STATUS: dict[int, Rule] = {
    400: _BAD,
    401: _KEY,
    403: Rule(errors.AuthenticationError),
    404: _MISSING,
    408: _LOST,
    409: _BAD,
    410: _MISSING,
    422: _BAD,
    429: _BUSY,
    500: _BROKEN,
    501: Rule(errors.UnsupportedError),
    502: _LOST,
    503: _BROKEN,
    504: _LOST,
}
_OPEN_API = (
    daytona_api_client.exceptions.OpenApiException,
    daytona_api_client_async.exceptions.OpenApiException,
    daytona_toolbox_api_client.exceptions.OpenApiException,
    daytona_toolbox_api_client_async.exceptions.OpenApiException,
)
_CLOSED = ("Session is closed", "Daytona client is closed")


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
    said = _said(error)
    message = redacted(f"Daytona: {said}" if said else f"Daytona: {type(error).__name__}")
    if issubclass(rule.error, errors.FileError):
        made: errors.SandboxError = rule.error(message, path="", errno=rule.error.default_errno)
    else:
        made = rule.error(message)
    made.outcome = rule.outcome
    made.hint = rule.hint or None
    if rule.retryable is not None:
        made.retryable = rule.retryable
    made.retry_after = _retry_after(error)
    return made


def _rule(error: BaseException) -> Rule | None:
    if isinstance(error, RuntimeError) and any(word in str(error) for word in _CLOSED):
        return _NEVER_SENT
    status = getattr(error, "status_code", None) or getattr(error, "status", None)
    plain = type(error) is sdk.DaytonaError or isinstance(error, _OPEN_API)
    if plain and status in _BY_STATUS:
        return _BY_STATUS[status]
    if isinstance(error, sdk.DaytonaError) and status is None:
        behind = _behind(error)
        if behind is not None:
            return behind
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return None


def _behind(error: BaseException) -> Rule | None:
    """What only the exception behind it tells: that nothing was sent, or that nothing fits."""
    below = error.__cause__
    while below is not None:
        if isinstance(below, (aiohttp.ClientConnectorError, ConnectionRefusedError)):
            return _NEVER_SENT
        if isinstance(below, (pydantic.ValidationError, json.JSONDecodeError)):
            return _MALFORMED
        below = below.__cause__
    return None


def _said(error: BaseException) -> str:
    """What it says; the text of a generated one would hold whole answers, headers and all."""
    if not isinstance(error, _OPEN_API):
        return str(error)
    body = getattr(error, "body", None)
    try:
        told = json.loads(body or "")
        if isinstance(told, dict) and isinstance(told.get("message"), str):
            return str(told["message"])
    except ValueError:
        pass
    reason = getattr(error, "reason", None) or type(error).__name__
    return f"{getattr(error, 'status', '')} {reason}".strip()


def _retry_after(error: BaseException) -> float | None:
    headers: Mapping[str, Any] = getattr(error, "headers", None) or {}
    for name, value in headers.items():
        if name.lower() == "retry-after" and str(value).isdigit():
            return float(value)
    return None


def translated(op: str, redacted: Callable[[str], str] = str) -> Translated:
    """A ``with`` block in which what the SDK raises becomes ours.

    Args:
        op: what is being done.
        redacted: takes secrets out of a message.
    """
    return Translated(op, "daytona", lambda error, trace: translate(error, redacted=redacted))
