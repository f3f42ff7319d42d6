"""A gateway within the test, in front of the local provider: a test can see what it keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from sandboxkit.gateway.keys import KeyRing, Tenant, hash_key
from sandboxkit.gateway.settings import Settings

__all__ = ["KEY", "gateway_of"]

KEY = "e2b_" + "0" * 40


@asynccontextmanager
async def gateway_of(
    make: Any, state: Path | None = None, header: str = "Authorization"
) -> AsyncIterator[tuple[Any, httpx.AsyncClient]]:
    """A gateway of this class, and a client that has a key for it."""
    keys = KeyRing({hash_key(KEY): Tenant("one")})
    gateway = make(Settings(keys=keys, profile="local", state=state))
    await gateway.fleet.start()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(gateway),
        base_url="http://gateway",
        headers={header: f"Bearer {KEY}"},
        timeout=60,
    ) as client:
        try:
            yield gateway, client
        finally:
            await gateway.aclose()
