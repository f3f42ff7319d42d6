"""A sandbox that is ready before it is asked for.

Who makes a sandbox often makes another. So when nobody waits, one more is made, like the last one
in all that cannot be said later, and whoever asks for such a one next gets it. It is made just as
any other, shut in as much, is nobody's until then, and only ever one person's.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from sandboxkit.errors import SandboxError

from .registry import Sandbox

__all__ = ["Prepared", "shape"]

_log = logging.getLogger(__name__)

QUIET = 0.05
"""Seconds after the last `create` or `kill`, so that many in a row do not wait for it. No event
says that none follows."""

KEPT = 60.0
"""Seconds in which it is kept: its memory is the machine's."""

Make = Callable[[dict[str, Any], dict[str, Any]], Awaitable[Sandbox]]
"""Makes a sandbox that is nobody's, of an order and a template."""

_FIXED = ("uid", "gid", "user", "home", "path", "python", "can_switch_user")
"""What an agent cannot be told later."""


def shape(message: dict[str, Any], template: dict[str, Any]) -> str | None:
    """What two sandboxes must have in common so that one can be prepared for the other.

    Returns:
        ``None`` if none can be: it has something of its own from the start.
    """
    own = ("snapshot", "limits", "hostname", "network", "mounts")
    if not message.get("prepared") or template.get("rootfs") or any(message[name] for name in own):
        return None
    agent = {name: message["agent"][name] for name in _FIXED}
    return json.dumps([template, message["disk"], message["pids"], agent], sort_keys=True)


class Prepared:
    """At most one sandbox, for the next `create` of its shape.

    Args:
        make: how.
        enabled: whether there ever is one.
    """

    def __init__(self, make: Make, *, enabled: bool) -> None:
        self._make = make
        self._enabled = enabled
        self._shape: str | None = None
        self._held: Sandbox | None = None
        self._making: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._next: tuple[dict[str, Any], dict[str, Any]] | None = None

    @property
    def ready(self) -> bool:
        """Whether one waits."""
        return self._held is not None

    def take(self, wanted: str | None) -> Sandbox | None:
        """The one that waits, if it is of this shape and lives; it is the caller's now."""
        sandbox = self._held
        if sandbox is None or wanted != self._shape:
            return None
        self._held = None
        self._cancel_timer()
        usable = sandbox.cause is None and not sandbox.ended.done() and sandbox.zygote.alive
        return sandbox if usable else None

    def expect(self, wanted: str | None, message: dict[str, Any], template: dict[str, Any]) -> None:
        """A sandbox is being asked for: have one like it soon, in place of any other."""
        if wanted is None or not self._enabled:
            return
        if wanted == self._shape and (self._held is not None or self._making is not None):
            return
        self.end()
        self._shape = wanted
        self._next = message, template
        self._call_later(QUIET, self._start)

    def put_off(self) -> None:
        """There is something else to do."""
        if self._next is not None:
            self._call_later(QUIET, self._start)

    def end(self) -> None:
        """Let go of it. Idempotent."""
        self._cancel_timer()
        self._next = None
        if self._making is not None:
            self._making.cancel()
        held, self._held = self._held, None
        if held is not None:
            held.strike("killed")

    def _start(self) -> None:
        assert self._next is not None
        coming, self._next = self._next, None
        making = asyncio.get_running_loop().create_task(self._hold(*coming))
        self._making = making
        making.add_done_callback(self._made)

    async def _hold(self, message: dict[str, Any], template: dict[str, Any]) -> None:
        try:
            self._held = await self._make(message, template)
        except (SandboxError, OSError) as error:  # nobody has asked for it
            _log.info("no sandbox could be prepared: %s", error)
        else:
            self._call_later(KEPT, self.end)

    def _made(self, task: asyncio.Task[None]) -> None:
        if self._making is task:
            self._making = None
        if not task.cancelled():
            task.result()

    def _call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, callback)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
