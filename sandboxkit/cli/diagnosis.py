"""Whether a profile works, and which doctor an error's hint should name."""

from __future__ import annotations

import asyncio

from sandboxkit.config import load_config
from sandboxkit.errors import SandboxError
from sandboxkit.plugins import Check

__all__ = ["answering", "hint_for"]

PATIENCE = 15.0
"""Seconds for a provider to say which sandboxes there are."""


def answering(profile: str) -> Check:
    """Whether a profile's provider takes its settings, and answers as they say."""
    from sandboxkit import AsyncSandbox

    async def ask() -> int:
        async with asyncio.timeout(PATIENCE):
            return len(await AsyncSandbox.list(profile))

    try:
        return Check("settings", True, f"the provider answers; sandboxes: {asyncio.run(ask())}")
    except SandboxError as error:
        hint = error.hint or ""
        # Who reads this is asking the doctor.
        fix = "" if hint.startswith("sandboxkit doctor") else hint
        return Check("settings", False, error.message, fix)
    except TimeoutError:
        return Check("settings", False, f"the provider does not answer within {PATIENCE:.0f} s")


def hint_for(error: SandboxError, profile: str | None) -> str:
    """An error's hint; where it names the provider's doctor, the doctor of the profile in use.

    Args:
        error: what went wrong.
        profile: the one that was named; ``None`` is the default one.
    """
    hint, asked = error.hint or "", f"sandboxkit doctor {error.provider}"
    if asked not in hint:
        return hint
    try:
        used = load_config().profile(profile)
    except SandboxError:
        return hint
    if used.provider != error.provider:
        return hint
    return hint.replace(asked, f"sandboxkit doctor {used.name}")
