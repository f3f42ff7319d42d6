"""What the e2b provider needs here. Shown by ``sandboxkit doctor e2b``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import util

from sandboxkit.errors import SandboxError
from sandboxkit.plugins import Check, install_command

from .settings import E2BSettings

__all__ = ["checks"]

_PATIENCE = 5.0  # seconds for E2B to answer


def checks() -> Sequence[Check]:
    """Look for the SDK, a key, and whether E2B takes it."""
    for name in ("e2b", "e2b_code_interpreter"):
        if util.find_spec(name) is None:
            return [Check(name, False, "it is not installed", install_command("e2b"))]
    found = [Check("e2b", True, "installed")]
    settings = E2BSettings()
    if not settings.api_key:
        fix = 'export E2B_API_KEY=..., or api_key = "env:NAME" in a profile'
        return [*found, Check("API key", False, "E2B_API_KEY is not set", fix)]
    return [*found, Check("API key", True, "E2B_API_KEY is set"), _service(settings)]


def _service(settings: E2BSettings) -> Check:
    from .account import Account

    where = settings.api_url or f"https://api.{settings.domain or 'e2b.app'}"

    async def ask() -> str:
        account = Account(settings)
        async with asyncio.timeout(_PATIENCE):
            live = await account.call("doctor", account.sandboxes.list(limit=1).next_items())
        return f"{where} takes the key; {'some sandboxes are' if live else 'no sandbox is'} live"

    try:
        return Check("service", True, asyncio.run(ask()))
    except TimeoutError:
        return Check("service", False, f"{where} does not answer", "look at https://status.e2b.dev")
    except SandboxError as error:
        return Check("service", False, error.message, error.hint or "")
