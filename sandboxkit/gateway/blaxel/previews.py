"""Previews: ports of a sandbox under URLs of their own, and the tokens that open private ones."""

from __future__ import annotations

import hmac
import secrets
import string
import time
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..fleet import Fleet
from ..http import json_answer, json_of
from ..refusal import Refusal
from ..state import SandboxRecord
from . import shapes
from .asking import Asking
from .guest import Guest

__all__ = ["SESSION_PORT", "Previews", "check_preview", "preview_by"]

SESSION_PORT = 443
"""The port of a preview that is a session: it leads to the sandbox's API."""
MAX_PREVIEWS = 100
MAX_TOKENS = 100
LETTERS = string.ascii_lowercase + string.digits

Kept = dict[str, Any]


def preview_by(records: Any, prefix: str) -> tuple[SandboxRecord, Kept] | None:
    """The preview whose URL has this in it."""
    for record in records:
        for kept in record.options.get("previews", {}).values():
            if hmac.compare_digest(kept["prefix"].encode(), prefix.encode()):
                return record, kept
    return None


def check_preview(request: Request, kept: Kept) -> None:
    """Let a request to a preview pass.

    Raises:
        Refusal: it may not.
    """
    if kept["spec"].get("public"):
        return
    given = request.headers.get("x-blaxel-preview-token") or request.query_params.get(
        "bl_preview_token", ""
    )
    now = time.time()
    for token in kept["tokens"].values():
        if token["until"] > now and hmac.compare_digest(token["value"].encode(), given.encode()):
            return
    raise Refusal(401, "the preview's token is missing, wrong or expired")


class Previews:
    """Serves what is under ``/previews`` of a sandbox."""

    def __init__(self, fleet: Fleet[Guest]) -> None:
        self._fleet = fleet

    async def answer(
        self, asking: Asking, record: SandboxRecord, method: str, rest: list[str]
    ) -> Response:
        """Serve one request.

        Raises:
            Refusal: it cannot be.
        """
        previews: dict[str, Kept] = record.options.setdefault("previews", {})
        match method, rest:
            case "GET", []:
                return json_answer([_shown(asking, record, one) for one in previews.values()])
            case "POST", []:
                kept = self._made(await json_of(asking.request), previews)
                await self._fleet.state.save(record)
                return json_answer(_shown(asking, record, kept))
        if not rest or rest[0] not in previews:
            raise Refusal(404, "there is no such preview", name="NOT_FOUND")
        kept = previews[rest[0]]
        match method, rest[1:]:
            case "GET", []:
                pass
            case "PUT", []:
                body = await json_of(asking.request)
                kept["spec"] = {**kept["spec"], **_spec_of(body)}
            case "DELETE", []:
                del previews[rest[0]]
            case _, ["tokens", *more]:
                return await self._tokens(asking, record, kept, method, more)
            case _:
                raise Refusal(501, "this is not served by this gateway")
        await self._fleet.state.save(record)
        return json_answer(_shown(asking, record, kept))

    def _made(self, body: dict[str, Any], previews: dict[str, Kept]) -> Kept:
        metadata = body.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(name, str) or not 0 < len(name) <= 128 or "/" in name:
            raise Refusal(400, "the preview has no name", name="INVALID_INPUT")
        if name in previews:
            raise Refusal(409, f"preview {name} already exists", name="CONFLICT")
        if len(previews) >= MAX_PREVIEWS:
            raise Refusal(429, f"a sandbox has at most {MAX_PREVIEWS} previews")
        kept = {
            "name": name,
            "prefix": "".join(secrets.choice(LETTERS) for _ in range(24)),
            "spec": _spec_of(body),
            "tokens": {},
            "created": time.time(),
        }
        previews[name] = kept
        return kept

    async def _tokens(
        self, asking: Asking, record: SandboxRecord, kept: Kept, method: str, rest: list[str]
    ) -> Response:
        tokens: dict[str, Kept] = kept["tokens"]
        match method, rest:
            case "GET", []:
                return json_answer([_token(kept, one) for one in tokens.values()])
            case "POST", []:
                if len(tokens) >= MAX_TOKENS:
                    raise Refusal(429, f"a preview has at most {MAX_TOKENS} tokens")
                spec = (await json_of(asking.request)).get("spec") or {}
                until = _until(spec.get("expiresAt") if isinstance(spec, dict) else None)
                name = secrets.token_hex(8)
                token = {"name": name, "value": secrets.token_urlsafe(32), "until": until}
                tokens[name] = token
            case "DELETE", [name] if name in tokens:
                token = tokens.pop(name)
            case _:
                raise Refusal(404, "there is no such token", name="NOT_FOUND")
        await self._fleet.state.save(record)
        return json_answer(_token(kept, token))


def _spec_of(body: dict[str, Any]) -> Kept:
    spec = body.get("spec")
    if not isinstance(spec, dict):
        raise Refusal(400, "the preview has no spec", name="INVALID_INPUT")
    if spec.get("customDomain"):
        raise Refusal(501, "domains of one's own are not served by this gateway")
    if spec.get("requestHeaders") or spec.get("responseHeaders"):
        raise Refusal(501, "headers of previews are not served by this gateway")
    port = spec.get("port", 80)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise Refusal(400, "the preview's port is none", name="INVALID_PORTS")
    return {"port": port, "public": spec.get("public") is True}


def _until(text: Any) -> float:
    if text is None:
        return time.time() + 86400
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        raise Refusal(400, "expiresAt is not in ISO 8601", name="VALIDATION_FAILED") from None


def _shown(asking: Asking, record: SandboxRecord, kept: Kept) -> dict[str, Any]:
    return {
        "metadata": {
            "name": kept["name"],
            "resourceName": shapes.name_of(record),
            "resourceType": "sandbox",
            "workspace": asking.workspace,
            "createdAt": shapes.moment(kept["created"]),
        },
        "spec": {**kept["spec"], "url": f"{asking.origin}/preview/{kept['prefix']}"},
        "status": "DEPLOYED",
    }


def _token(kept: Kept, token: Kept) -> dict[str, Any]:
    return {
        "metadata": {"name": token["name"], "previewName": kept["name"]},
        "spec": {
            "token": token["value"],
            "expiresAt": shapes.moment(token["until"]),
            "expired": token["until"] <= time.time(),
        },
    }
