"""What the engine and its SDK raise, as our errors: the one table.

The messages are the engine's own, which name containers, images and paths; what a caller passed as
a value (environment, orders) never reaches the engine, so it is in none of them.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import aiohttp
from aiodocker import exceptions as sdk

from sandboxkit import errors

from .ssh import SAID

__all__ = ["NO_ENGINE", "Absent", "Conflict", "translated"]

NO_ENGINE = 900
"""What the SDK gives as the status when it could not talk to the engine at all."""

_DOCTOR = "sandboxkit doctor docker"


class Absent(errors.NotFoundError):
    """The engine has no such thing; whoever asked says what it was."""


class Conflict(errors.SandboxError):
    """The thing is in a state, or has a name, that forbids the operation."""


class _Rule(NamedTuple):
    pattern: str
    error: type[errors.SandboxError]
    hint: str = ""


# What the engine says with a status that tells little.
_RULES = (
    _Rule(
        r"no space left on device",
        errors.ProviderUnavailableError,
        "docker system df; docker system prune",
    ),
    _Rule(
        r"unknown or invalid runtime name|unknown runtime specified",
        errors.UnsupportedError,
        "docker info --format '{{.Runtimes}}'",
    ),
    _Rule(
        r"--storage-opt is (only )?supported|storage-opt.*not supported|quota",
        errors.UnsupportedError,
        "an engine with overlay2 on xfs, mounted with pquota",
    ),
    _Rule(r"toomanyrequests|rate limit", errors.RateLimitError),
    _Rule(
        r"unauthorized|authentication required|denied: requested access",
        errors.AuthenticationError,
        "docker login",
    ),
    _Rule(r"invalid reference format", errors.InvalidRequestError),
    _Rule(
        r"HTTP request to an HTTPS server",
        errors.ProviderUnavailableError,
        "set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to where the certificates are",
    ),
)

_BY_STATUS: dict[int, type[errors.SandboxError]] = {
    400: errors.InvalidRequestError,
    401: errors.AuthenticationError,
    403: errors.AuthenticationError,
    404: Absent,
    409: Conflict,
    429: errors.RateLimitError,
    503: errors.TransportError,
}


@contextlib.contextmanager
def translated(op: str, endpoint: str, *, sent: bool = True) -> Iterator[None]:
    """Turn what the SDK raises into ours.

    Args:
        op: what is being done, for the message.
        endpoint: the engine, for the message.
        sent: whether it is unknown, when the connection breaks, if the engine did it.
    """
    try:
        yield
    except sdk.DockerError as error:
        raise _from_engine(error, op, endpoint, sent) from error
    except aiohttp.ClientError as error:
        outcome: errors.Outcome = "unknown" if sent else "not_started"
        raise errors.TransportError(
            f"the connection to the engine at {endpoint} broke: {type(error).__name__}",
            op=op,
            outcome=outcome,
            hint=_DOCTOR,
        ) from error


def _from_engine(error: sdk.DockerError, op: str, endpoint: str, sent: bool) -> errors.SandboxError:
    message = str(error.message).strip()
    if error.status == NO_ENGINE:
        return _unreachable(message, op, endpoint, sent)
    for rule in _RULES:
        if re.search(rule.pattern, message, re.IGNORECASE):
            return _made(rule.error, f"the engine refused: {message}", op, rule.hint)
    kind = _BY_STATUS.get(error.status, errors.SandboxError)
    # Below 500 the engine refused it; above, nobody knows how far it came.
    outcome: errors.Outcome = "not_started" if error.status < 500 or not sent else "unknown"
    made = _made(kind, message if error.status == 404 else f"the engine refused: {message}", op)
    made.outcome = outcome
    if error.status == 503:
        made.retryable = True
    return made


def _made(
    kind: type[errors.SandboxError], message: str, op: str, hint: str = ""
) -> errors.SandboxError:
    return kind(message, op=op, hint=hint or None, outcome="not_started")


# What the SDK says where the connection was made and then lost.
_LOST = ("disconnected", "reset", "broken pipe", "closing transport", "payload")


class _Reason(NamedTuple):
    pattern: str
    reason: str
    hint: str = _DOCTOR


# Why there was no connection, from what the system, OpenSSL or ssh says; `{}` is what was found.
_TRUST = "look at DOCKER_CERT_PATH, and at the name in DOCKER_HOST"
_REASONS = (
    _Reason(
        rf"{SAID}(.*(?:permission denied|host key|resolve hostname|timed out|refused|no route|"
        r"not found|no such program|too many auth).*)\]",
        "ssh says: {}",
        "ssh {endpoint} docker version",
    ),
    _Reason(
        r"certificate verify failed:? ?([^(]*)", "its certificate is not to be trusted: {}", _TRUST
    ),
    _Reason(r"alert.*(?:certificate|unknown ca)", "it wants another certificate of ours", _TRUST),
    _Reason(r"record layer|wrong version number", "it does not speak TLS", _TRUST),
    _Reason(r"permission denied", "permission denied: this user may not use it"),
    _Reason(r"no such file", "there is no such socket"),
    _Reason(r"refused", "nobody listens there"),
)


def _unreachable(message: str, op: str, endpoint: str, sent: bool) -> errors.SandboxError:
    for rule in _REASONS:
        found = re.search(rule.pattern, message, re.IGNORECASE)
        if found:
            reason = rule.reason.format(*found.groups()).strip()
            return _no_engine(endpoint, reason, op, rule.hint.format(endpoint=endpoint))
    if SAID in message or any(word in message.lower() for word in _LOST):
        return errors.TransportError(
            f"the connection to the engine at {endpoint} broke",
            op=op,
            outcome="unknown" if sent else "not_started",
            retryable=True,
            hint=_DOCTOR,
        )
    return _no_engine(endpoint, "it cannot be reached", op, _DOCTOR)


def _no_engine(endpoint: str, reason: str, op: str, hint: str) -> errors.SandboxError:
    return errors.ProviderUnavailableError(
        f"no engine answers at {endpoint}: {reason}",
        op=op,
        outcome="not_started",
        hint=hint,
    )
