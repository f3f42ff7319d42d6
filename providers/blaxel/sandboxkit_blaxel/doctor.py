"""What the blaxel provider needs here. Shown by ``sandboxkit doctor blaxel``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import util

from sandboxkit.errors import SandboxError
from sandboxkit.plugins import Check, install_command

from .settings import BlaxelSettings

__all__ = ["checks"]

_PATIENCE = 10.0  # seconds for Blaxel to answer


def checks() -> Sequence[Check]:
    """Look for the SDK, a key, and whether Blaxel takes it."""
    if util.find_spec("blaxel") is None:
        return [Check("blaxel", False, "it is not installed", install_command("blaxel"))]
    found = [Check("blaxel", True, "installed")]
    settings = BlaxelSettings()
    if not settings.api_key and not settings.client_credentials:
        fix = 'export BL_API_KEY=..., or api_key = "env:NAME" in a profile'
        return [*found, Check("API key", False, "BL_API_KEY is not set", fix)]
    found.append(Check("API key", True, "it is set"))
    if not settings.workspace:
        fix = "export BL_WORKSPACE=..., or workspace in a profile"
        return [*found, Check("workspace", False, "BL_WORKSPACE is not set", fix)]
    return [*found, Check("workspace", True, settings.workspace), _service(settings)]


def _service(settings: BlaxelSettings) -> Check:
    from . import sdk
    from .account import Account

    async def ask() -> str:
        account = Account(settings)
        async with asyncio.timeout(_PATIENCE):
            asking = sdk.control.list_sandboxes.asyncio(client=account.control, limit=1)
            page = await account.call("doctor", asking)
        await account.aclose()
        live = page is not None and not isinstance(page.data, sdk.Unset) and bool(page.data)
        some = "some sandboxes are" if live else "no sandbox is"
        return f"{settings.api_url} takes the key; {some} live"

    try:
        return Check("service", True, asyncio.run(ask()))
    except TimeoutError:
        text = f"{settings.api_url} does not answer"
        return Check("service", False, text, "look at https://status.blaxel.ai")
    except SandboxError as error:
        return Check("service", False, error.message, error.hint or "")
