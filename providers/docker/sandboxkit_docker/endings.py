"""Why a sandbox is no longer there, as far as the engine remembers."""

from __future__ import annotations

from sandboxkit.errors import Cause, SandboxError, SandboxNotFoundError

from .engine import Engine

__all__ = ["gone"]

_MESSAGES: dict[Cause | None, str] = {
    "expired": "sandbox {} has ended: its lifetime was over",
    "killed": "sandbox {} was killed",
    "oom": "sandbox {} has ended: it ran out of memory",
    "transport": "sandbox {} has ended: its first process failed",
    None: "there is no sandbox {}",
}


async def gone(engine: Engine, sandbox_id: str) -> SandboxNotFoundError:
    """The error that says that it is gone, and why."""
    try:
        cause = await _cause(engine, sandbox_id)
    except SandboxError:
        cause = None
    return SandboxNotFoundError(
        _MESSAGES[cause].format(sandbox_id),
        cause=cause,
        sandbox_id=sandbox_id,
        provider="docker",
        hint="sandboxkit ps",
    )


async def _cause(engine: Engine, sandbox_id: str) -> Cause | None:
    # Its containers remove themselves, so the engine's memory of events is all there is.
    killed = starved = False
    cause: Cause | None = None
    for event in await engine.past_events(sandbox_id):
        action = event.get("Action", "")
        killed = killed or action == "kill"
        starved = starved or action == "oom"
        if action == "die":
            status = event.get("Actor", {}).get("Attributes", {}).get("exitCode")
            if killed:
                cause = "killed"
            elif status == "0":  # the guest leaves so at the end of its lifetime
                cause = "expired"
            else:
                cause = "oom" if starved else "transport"
    return cause
