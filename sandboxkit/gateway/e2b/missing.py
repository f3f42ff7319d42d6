"""What this gateway does not serve, and why: every answer with 501 says what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ..refusal import Refusal
from .openapi import document

__all__ = ["reason_of", "unserved"]

_REASONS = {
    "secrets": "secrets are filled in by the network of E2B's cloud, and this gateway has none",
    "network": "the network of a sandbox is fixed when it is made: name the rules at its creation",
    "logs": "this gateway keeps no logs of sandboxes",
}


def reason_of(method: str, path: str) -> str:
    """Why a request has no handler."""
    parts = _parts(path)
    known = (_REASONS[part] for part in (*parts[:2], *parts[-1:]) if part in _REASONS)
    return next(known, f"{method} {path:.200} is not served by this gateway")


def unserved(method: str, path: str) -> Refusal:
    """The answer to a request that has no handler: 405 on a path of ours, else 501."""
    parts = _parts(path)
    allowed = next((methods for known, methods in _served() if _fits(known, parts)), None)
    if allowed is None:
        return Refusal(501, reason_of(method, path))
    return Refusal(405, f"{method} is not among {allowed}", headers={"Allow": allowed})


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _fits(known: Sequence[str], parts: Sequence[str]) -> bool:
    return len(known) == len(parts) and all(
        name.startswith("{") or name == part for name, part in zip(known, parts, strict=True)
    )


@cache
def _served() -> list[tuple[list[str], str]]:
    paths: dict[str, dict[str, object]] = document()["paths"]
    return [
        (_parts(path), ", ".join(sorted(name.upper() for name in item if name != "parameters")))
        for path, item in paths.items()
    ]
