"""What the SDK raises, as our errors: the one table.

The SDK has a root for what its servers answer, ``BlaxelError``; what its HTTP client raises, what
its parsers stumble over, and bare ``Exception``s come through beside it. A server's own name for an
error decides first, then its status, then the class.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import httpcore
import httpx

from sandboxkit import errors
from sandboxkit.provider.translating import Translated

from . import sdk  # noqa: F401 - first, so that its import leaves the process as it was

from blaxel.core import (  # isort: skip
    ApplicationAPIError,
    BlaxelError,
    DriveAPIError,
    ResponseError,
    SandboxAPIError,
    SandboxCreationTimeoutError,
    SandboxDriveSetupError,
    SecretAPIError,
    SnapshotAPIError,
    VolumeAPIError,
)
from blaxel.core.authentication.types import CredentialsError  # isort: skip
from blaxel.core.client import errors as control  # isort: skip
from blaxel.core.sandbox.client import errors as inside  # isort: skip

__all__ = ["BY_CODE", "BY_STATUS", "TABLE", "Rule", "translate", "translated"]

MISSING_KEY = (
    "Blaxel needs an API key and a workspace: set BL_API_KEY and BL_WORKSPACE, or the settings "
    "api_key and workspace of the profile"
)
KEY_HINT = (
    'export BL_API_KEY=..., or write api_key = "env:BL_API_KEY" under [profiles.NAME]; '
    "sandboxkit doctor blaxel"
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
_NEVER_SENT = Rule(errors.TransportError, "not_started", True, "sandboxkit doctor blaxel")
_GONE = Rule(errors.SandboxNotFoundError)
_AUTHENTICATION = Rule(errors.AuthenticationError, hint=KEY_HINT)
_INVALID = Rule(errors.InvalidRequestError)
_TEMPLATE = Rule(errors.TemplateNotFoundError)
_BUSY = Rule(errors.RateLimitError, "not_started", True)
_AWAY = Rule(errors.ProviderUnavailableError, "not_started", True)
_UNEXPLAINED = Rule(errors.SandboxError, "unknown")
_GARBLED = Rule(errors.ProtocolError, "unknown")

TABLE: dict[type[BaseException], Rule] = {
    # What the servers answer, where neither its name nor its status says more.
    BlaxelError: _UNEXPLAINED,
    SandboxAPIError: _UNEXPLAINED,
    SandboxCreationTimeoutError: Rule(errors.CreateTimeoutError),
    SnapshotAPIError: _UNEXPLAINED,
    VolumeAPIError: _UNEXPLAINED,
    SecretAPIError: _UNEXPLAINED,
    DriveAPIError: _UNEXPLAINED,
    ApplicationAPIError: _UNEXPLAINED,
    ResponseError: _UNEXPLAINED,
    control.UnexpectedStatus: _UNEXPLAINED,
    control.APIStatusError: _UNEXPLAINED,
    control.ConflictError: _INVALID,
    control.RateLimitError: _BUSY,
    inside.UnexpectedStatus: _UNEXPLAINED,
    inside.APIStatusError: _UNEXPLAINED,
    inside.ConflictError: _INVALID,
    inside.RateLimitError: _BUSY,
    # And what is beside that tree.
    CredentialsError: _AUTHENTICATION,
    SandboxDriveSetupError: Rule(errors.ProviderUnavailableError, "unknown"),
    # Its HTTP client.
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
    # The built-in ones that it lets through; its parsers' when an answer is not as it should be.
    ConnectionError: _LOST,
    TimeoutError: _LOST,
    json.JSONDecodeError: _GARBLED,
    UnicodeDecodeError: _GARBLED,
    KeyError: _GARBLED,
}
"""By exception: what becomes of it. A subclass without a row takes its nearest ancestor's."""

BY_CODE: dict[str, Rule] = {
    "WORKLOAD_NOT_FOUND": _GONE,
    "SANDBOX_DELETED": _GONE,
    "ROUTE_NOT_FOUND": _GONE,
    "WORKSPACE_NOT_FOUND": _AUTHENTICATION,
    "WORKLOAD_UNAVAILABLE": _AWAY,
    "WORKLOAD_FAILED": _AWAY,
    "ROUTING_UNAVAILABLE": _AWAY,
    "SERVICE_UNAVAILABLE": _AWAY,
    "AUTHENTICATION_UNAVAILABLE": _AWAY,
    "AUTHENTICATION_REQUIRED": _AUTHENTICATION,
    "AUTHENTICATION_FAILED": _AUTHENTICATION,
    "TOKEN_REVOKED": _AUTHENTICATION,
    "FORBIDDEN": _AUTHENTICATION,
    "UNAUTHORIZED": _AUTHENTICATION,
    "UNAUTHORIZED_WORKSPACE": _AUTHENTICATION,
    "WORKSPACE_REQUIRED": _AUTHENTICATION,
    "BAD_REQUEST": _INVALID,
    "VALIDATION_FAILED": _INVALID,
    "VALIDATION_ERROR": _INVALID,
    "INVALID_INPUT": _INVALID,
    "INVALID_PORTS": _INVALID,
    "INVALID_REGION": _INVALID,
    "REGION_MISMATCH": _INVALID,
    "SANDBOX_ALREADY_EXISTS": _INVALID,
    "SANDBOX_DELETION_IN_PROGRESS": Rule(errors.InvalidRequestError, "not_started", True),
    "INVALID_IMAGE": _TEMPLATE,
    "IMAGE_NOT_FOUND": _TEMPLATE,
    "CREATION_TIMEOUT": Rule(errors.CreateTimeoutError),
    "RATE_LIMIT_EXCEEDED": _BUSY,
    "WORKSPACE_RATE_LIMIT_EXCEEDED": _BUSY,
    "QUOTA_EXCEEDED": Rule(errors.RateLimitError, "not_started"),
    "USAGE_LIMIT_EXCEEDED": Rule(errors.RateLimitError, "not_started"),
    "UPSTREAM_CONNECT_FAILED": _NEVER_SENT,
    "UPSTREAM_CONNECT_TIMEOUT": _NEVER_SENT,
    "UPSTREAM_ERROR": _LOST,
    "UPSTREAM_TIMEOUT": _LOST,
    "GATEWAY_INTERNAL_ERROR": _LOST,
}
"""By the server's own name for an error."""

BY_STATUS: dict[int, Rule] = {
    400: _INVALID,
    401: _AUTHENTICATION,
    403: _AUTHENTICATION,
    404: Rule(errors.NotFoundError),
    408: _LOST,
    409: _INVALID,
    413: _INVALID,
    422: _INVALID,
    429: _BUSY,
    501: Rule(errors.UnsupportedError),
    502: _LOST,
    503: _AWAY,
    504: _LOST,
}
"""By the status of an answer."""


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
    message = redacted(f"Blaxel: {_message(error)}")
    made = rule.error(message)
    made.outcome = rule.outcome
    made.hint = rule.hint or None
    if rule.retryable is not None:
        made.retryable = rule.retryable
    if isinstance(error, BlaxelError):
        _complete(made, error)
    return made


def _rule(error: BaseException) -> Rule | None:
    if type(error) is Exception:  # the SDK raises these for what it did not expect
        return _UNEXPLAINED
    if isinstance(error, BlaxelError):
        found = BY_CODE.get(str(error.code))
        if found is None and error.status is not None:
            found = BY_STATUS.get(error.status)
        if found is not None:
            return found
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return None


def _message(error: BaseException) -> str:
    if isinstance(error, BlaxelError):
        said = _in_body(error.body, "message") or _in_body(error.body, "error") or error.message
        return f"{said} (HTTP {error.status})" if error.status else said
    return str(error) or type(error).__name__


def _in_body(body: Any, name: str) -> str:
    """A text of an error's body, which is nested where the edge answers."""
    if isinstance(body, Mapping):
        for part in (body.get("error"), body):
            if isinstance(part, Mapping) and isinstance(part.get(name), str):
                return str(part[name])
    return ""


def _complete(made: errors.SandboxError, error: BlaxelError) -> None:
    """Add what the answer says besides."""
    nested = error.body.get("error") if isinstance(error.body, Mapping) else None
    if isinstance(nested, Mapping):
        state = nested.get("dispatch_state")
        if state == "not_dispatched":
            made.outcome, made.retryable = "not_started", True
        elif state == "dispatched_unknown":
            made.outcome = "unknown"
    given = getattr(error, "retry_after_seconds", None)
    if given is None and error.response is not None:
        text = error.response.headers.get("retry-after", "")
        given = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else None
    if given is not None:
        made.retry_after = float(given)


def translated(op: str, redacted: Callable[[str], str] = str) -> Translated:
    """A ``with`` block in which what the SDK raises becomes ours.

    Args:
        op: what is being done.
        redacted: takes secrets out of a message.
    """
    return Translated(op, "blaxel", lambda error, trace: translate(error, redacted=redacted))
