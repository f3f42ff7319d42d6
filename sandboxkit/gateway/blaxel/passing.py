"""Requests that are passed on to a port of a sandbox."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["through"]

_OURS = (b"x-blaxel-", b"authorization")
"""What the names of headers begin with that are for the gateway alone."""


def through(application: ASGIApp, path: str) -> ASGIApp:
    """An application that sees a request under another path, without what is for us alone."""

    async def passed(scope: Scope, receive: Receive, send: Send) -> None:
        kept = [one for one in scope["headers"] if not one[0].startswith(_OURS)]
        raw = path.encode("latin-1")
        await application(
            {**scope, "path": unquote(path), "raw_path": raw, "headers": kept}, receive, send
        )

    return passed
