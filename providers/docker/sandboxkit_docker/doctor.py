"""What the docker provider needs here. Shown by ``sandboxkit doctor docker``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import util

from sandboxkit.errors import SandboxError
from sandboxkit.plugins import Check, install_command

__all__ = ["checks"]

_PATIENCE = 5.0  # seconds for an engine to answer


def checks() -> Sequence[Check]:
    """Look for the SDK and an engine."""
    if util.find_spec("aiodocker") is None:
        return [Check("aiodocker", False, "it is not installed", install_command("docker"))]
    return [Check("aiodocker", True, "installed"), _engine()]


def _engine() -> Check:
    from .engine import Engine, locate

    address, context = locate(None)
    endpoint = address or f"context {context}"

    async def ask() -> str:
        engine = Engine(None)
        try:
            async with asyncio.timeout(_PATIENCE):
                version = await engine.call("doctor", engine.sdk.version(), sent=False)
        finally:
            await engine.aclose()
        return f"{version['Version']} at {endpoint}"

    try:
        return Check("engine", True, asyncio.run(ask()))
    except TimeoutError:
        detail = f"the engine at {endpoint} does not answer"
        return Check("engine", False, detail, "systemctl restart docker")
    except SandboxError as error:
        return Check("engine", False, error.message, _fix(error.message))


def _fix(message: str) -> str:
    if "permission denied" in message:
        return "usermod -aG docker $USER, then log in again"
    if "no such socket" in message:
        return "apt-get install docker.io, or name another engine in DOCKER_HOST"
    return "systemctl start docker, or name another engine in DOCKER_HOST"
