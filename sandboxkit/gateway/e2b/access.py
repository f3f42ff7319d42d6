"""Who may use a sandbox: whoever has its token, or a URL that was signed with it."""

from __future__ import annotations

import hmac

from starlette.requests import Request
from starlette.types import Scope

from ..refusal import Refusal
from ..routing import header
from ..state import SandboxRecord
from .signature import check_signature

__all__ = ["check_code", "check_envd", "check_traffic"]


def _has_token(scope: Scope, record: SandboxRecord) -> bool:
    given = header(scope["headers"], b"x-access-token") or ""
    return hmac.compare_digest(given.encode("utf-8", "replace"), record.token.encode())


def _check_token(request: Request, record: SandboxRecord) -> None:
    if not _has_token(request.scope, record):
        raise Refusal(
            401,
            "unauthorized access, please provide a valid access token or method signing if"
            " supported",
        )


def check_envd(request: Request, record: SandboxRecord) -> None:
    """Let a request to ``envd`` pass; how the sandbox is, everybody may ask who knows its name.

    Raises:
        Refusal: it may not.
    """
    path = request.scope["path"]
    if path == "/health" or (path == "/files" and _has_token(request.scope, record)):
        return
    if path == "/files":
        operation = "read" if request.method in ("GET", "HEAD") else "write"
        check_signature(dict(request.query_params), operation, record.token)
        return
    _check_token(request, record)


def check_code(request: Request, record: SandboxRecord) -> None:
    """Let a request to the code interpreter pass. The SDKs send the token only with code.

    Raises:
        Refusal: it may not.
    """
    check_traffic(request.scope, record)
    if request.scope["path"] == "/execute":
        _check_token(request, record)


def check_traffic(scope: Scope, record: SandboxRecord) -> None:
    """Let a request to a port pass: to public ones everybody may who knows the sandbox's name.

    Raises:
        Refusal: it may not.
    """
    if record.traffic_token is None:
        return
    given = header(scope["headers"], b"e2b-traffic-access-token") or ""
    if not hmac.compare_digest(given.encode("utf-8", "replace"), record.traffic_token.encode()):
        raise Refusal(
            403,
            "the header e2b-traffic-access-token is missing or wrong",
            sandboxId=record.id,
        )
