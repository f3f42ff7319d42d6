"""What the daytona provider needs here. Shown by ``sandboxkit doctor daytona``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import util

from sandboxkit.errors import SandboxError
from sandboxkit.plugins import Check, install_command

from .settings import DaytonaSettings

__all__ = ["checks"]

_PATIENCE = 5.0  # seconds for Daytona to answer


def checks() -> Sequence[Check]:
    """Look for the SDK, a key, and whether Daytona takes it."""
    if util.find_spec("daytona") is None:
        return [Check("daytona", False, "it is not installed", install_command("daytona"))]
    found = [Check("daytona", True, "installed")]
    settings = DaytonaSettings()
    if not settings.api_key and not settings.jwt_token:
        fix = 'export DAYTONA_API_KEY=..., or api_key = "env:NAME" in a profile'
        return [*found, Check("API key", False, "DAYTONA_API_KEY is not set", fix)]
    return [*found, Check("API key", True, "there is one"), _service(settings)]


def _service(settings: DaytonaSettings) -> Check:
    from daytona import ListSandboxesQuery

    from .account import Account

    async def ask() -> str:
        account = Account(settings)
        try:
            async with asyncio.timeout(_PATIENCE):
                with account.translated("doctor"):
                    pages = account.client.list(ListSandboxesQuery(limit=1))
                    live = await anext(pages, None)
        finally:
            await account.aclose()
        some = "no sandbox is" if live is None else "some sandboxes are"
        return f"{settings.api_url} takes the key; {some} there"

    try:
        return Check("service", True, asyncio.run(ask()))
    except TimeoutError:
        fix = "look at https://status.app.daytona.io"
        return Check("service", False, f"{settings.api_url} does not answer", fix)
    except SandboxError as error:
        return Check("service", False, error.message, error.hint or "")
