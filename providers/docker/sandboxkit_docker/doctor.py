"""What the docker provider needs here. Shown by ``sandboxkit doctor docker``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import util

from sandboxkit.errors import SandboxError
from sandboxkit.plugins import Check, install_command

__all__ = ["checks"]

_PATIENCE = 5.0  # seconds for an engine to answer
_NAMED_HOST = (1, 41)  # the interface's version from which on there is a ``host-gateway``


def checks() -> Sequence[Check]:
    """Look for the SDK and an engine."""
    if util.find_spec("aiodocker") is None:
        return [Check("aiodocker", False, "it is not installed", install_command("docker"))]
    engine, api = _engine()
    return [Check("aiodocker", True, "installed"), engine, *([_rules(api)] if engine.ok else [])]


def _rules(api: tuple[int, ...]) -> Check:
    name = "network rules"
    if api >= _NAMED_HOST:
        return Check(name, True, "lists of hosts are let out by a second container")
    detail = "lists of hosts are refused: the engine cannot name its own machine to a container"
    return Check(name, True, detail, "use Docker Engine 20.10 or later")


def _engine() -> tuple[Check, tuple[int, ...]]:
    """Whether one answers, and the version of its interface."""
    from .engine import Engine

    endpoint = Engine(None).endpoint

    async def ask() -> tuple[str, str]:
        engine = Engine(None)
        try:
            async with asyncio.timeout(_PATIENCE):
                version = await engine.call("doctor", engine.sdk.version(), sent=False)
        finally:
            await engine.aclose()
        return f"{version['Version']} at {endpoint}", version["ApiVersion"]

    try:
        detail, api = asyncio.run(ask())
        return Check("engine", True, detail), tuple(int(part) for part in api.split("."))
    except TimeoutError:
        detail = f"the engine at {endpoint} does not answer"
        return Check("engine", False, detail, "systemctl restart docker"), ()
    except SandboxError as error:
        return Check("engine", False, error.message, _fix(error.message)), ()


def _fix(message: str) -> str:
    if "permission denied" in message:
        return "usermod -aG docker $USER, then log in again"
    if "no such socket" in message:
        return "apt-get install docker.io, or name another engine in DOCKER_HOST"
    return "systemctl start docker, or name another engine in DOCKER_HOST"
