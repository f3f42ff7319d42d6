"""What the daemon knows of its sandboxes, living and ended."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandboxkit.errors import (
    Cause,
    SandboxError,
    SandboxNotFoundError,
    SandboxPausedError,
    TransportError,
)
from sandboxkit_local.jail.cgroup import Cgroup
from sandboxkit_local.jail.freezer import Freezer
from sandboxkit_local.peer import Peer

from .egress import Egress

if TYPE_CHECKING:
    from .zygotes import Zygote

__all__ = ["Registry", "Sandbox"]

_TOMBSTONES = 1000


@dataclass(eq=False)
class Sandbox:
    """A sandbox from the moment it has an id.

    Attributes:
        id: its id.
        info: what clients are told, as JSON; times are epoch seconds.
        template: the resolved template, for snapshots.
        slot: its id range.
        disk: bytes that may be written in it.
        zygote: what it was forked from.
        control: the connection to its guest.
        cgroup: its limits, if they need one.
        freezer: what it is paused by, where that is possible.
        egress: its proxy, if there is something that it may reach.
        pidfd: its first process.
        ready: done when commands can run in it; or why it could not be made.
        ended: done when it is verifiably gone.
        cause: why it was ended, once somebody decided to.
        guard: ends it if the guest does not.
        snapshotting: held while a snapshot is taken; guests answer in no order.
        snapshot: what the guest will say of the one under way.
        oom_kills_told: how many kills for want of memory a client was told of.
        order: the message it was made from, for its forks.
        lifetime: seconds, as they were set last.
        rest: seconds that its lifetime will go on for once it is resumed.
        changing: held while it is being paused or resumed.
        stood_still: what the guest will say to being paused.
        unclaimed: whether it was prepared, and is nobody's yet.
    """

    id: str
    info: dict[str, Any]
    template: dict[str, Any]
    slot: int
    disk: int
    zygote: Zygote
    ready: asyncio.Future[None]
    ended: asyncio.Future[None]
    order: dict[str, Any]
    lifetime: float | None
    control: Peer | None = None
    cgroup: Cgroup | None = None
    freezer: Freezer | None = None
    egress: Egress | None = None
    rest: float | None = None
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    stood_still: asyncio.Future[bool] | None = None
    pidfd: int | None = None
    cause: Cause | None = None
    guard: asyncio.TimerHandle | None = None
    snapshotting: asyncio.Lock = field(default_factory=asyncio.Lock)
    snapshot: asyncio.Future[dict[str, Any]] | None = None
    oom_kills_told: int = 0
    unclaimed: bool = False

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return bool(self.info["state"] == "paused")

    @property
    def on_timeout(self) -> str:
        """What happens at the end of its time: ``kill`` or ``pause``."""
        return str(self.order["agent"]["on_timeout"])

    @property
    def expires_at(self) -> float | None:
        """Epoch seconds, or ``None`` if it has no end."""
        ends: float | None = self.info["expires_at"]
        return ends

    def ran_out_of_memory(self) -> bool:
        """Whether something in it was killed for want of memory since this was last asked."""
        kills = 0 if self.cgroup is None else self.cgroup.oom_kills()
        news, self.oom_kills_told = kills > self.oom_kills_told, kills
        return news

    def strike(self, cause: Cause) -> None:
        """Kill everything in it; `ended` says when that is done. The first cause counts."""
        if self.cause is None:
            self.cause = cause
        if self.pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            if self.freezer is not None:  # else its others die one by one, after the first
                self.freezer.kill()

    def fail(self, error: SandboxError) -> None:
        """It cannot be made."""
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # somebody may have stopped waiting; that is no bug

    def verdict(self) -> Cause:
        """Why it ended, now that it has."""
        if self.cause is not None:
            return self.cause
        if self.cgroup is not None and self.cgroup.oom_kills():
            return "oom"
        if self.expires_at is not None and time.time() >= self.expires_at - 0.1:
            return "expired"
        return "transport"


class Registry:
    """All sandboxes by id and nonce, and why the last thousand ended."""

    def __init__(self) -> None:
        self.live: dict[str, Sandbox] = {}
        self.nonces: dict[str, Sandbox] = {}
        self._tombstones: collections.OrderedDict[str, Cause] = collections.OrderedDict()

    def add(self, sandbox: Sandbox) -> None:
        """A sandbox begins."""
        self.live[sandbox.id] = sandbox
        self.nonces[sandbox.info["labels"].get("nonce", sandbox.id)] = sandbox

    def claim(self, sandbox: Sandbox, info: dict[str, Any], order: dict[str, Any]) -> None:
        """A prepared sandbox is somebody's; it is ready once its guest knows."""
        self.nonces.pop(sandbox.info["labels"]["nonce"], None)
        sandbox.info, sandbox.order, sandbox.lifetime = info, order, order["agent"]["lifetime"]
        sandbox.unclaimed = False
        sandbox.ready = asyncio.get_running_loop().create_future()
        self.nonces[info["labels"]["nonce"]] = sandbox

    @property
    def owned(self) -> int:
        """How many there are that are somebody's."""
        return sum(not sandbox.unclaimed for sandbox in self.live.values())

    def bury(self, sandbox: Sandbox) -> None:
        """It has ended, verified; let go of all that was its own."""
        if self.live.pop(sandbox.id, None) is None:
            return
        self.nonces.pop(sandbox.info["labels"].get("nonce", sandbox.id), None)
        cause = sandbox.verdict()
        self._tombstones[sandbox.id] = cause
        while len(self._tombstones) > _TOMBSTONES:
            self._tombstones.popitem(last=False)
        if sandbox.guard is not None:
            sandbox.guard.cancel()
        if sandbox.control is not None:
            sandbox.control.close()
        if sandbox.egress is not None:
            sandbox.egress.close()
        if sandbox.pidfd is not None:
            os.close(sandbox.pidfd)
            sandbox.pidfd = None
        sandbox.fail(TransportError("the sandbox died while it was made", outcome="not_started"))
        if sandbox.snapshot is not None and not sandbox.snapshot.done():
            sandbox.snapshot.set_result({"ok": False, "error": "the sandbox ended"})
        if not sandbox.ended.done():
            sandbox.ended.set_result(None)

    def get(self, sandbox_id: str) -> Sandbox:
        """A sandbox that can be used.

        Raises:
            SandboxNotFoundError: there is none, or no longer; with the cause.
        """
        sandbox = self.live.get(sandbox_id)
        usable = sandbox is not None and sandbox.ready.done() and not sandbox.unclaimed
        if sandbox is not None and usable and sandbox.cause is None:
            return sandbox
        cause = sandbox.cause if sandbox is not None else self._tombstones.get(sandbox_id)
        known = f"it ended: {cause}" if cause else "it never was, or ended long ago"
        raise SandboxNotFoundError(
            f"there is no sandbox {sandbox_id}; {known}", cause=cause, sandbox_id=sandbox_id
        )

    def running(self, sandbox_id: str) -> Sandbox:
        """A sandbox that can do something.

        Raises:
            SandboxNotFoundError: there is none, or no longer; with the cause.
            SandboxPausedError: it is paused.
        """
        sandbox = self.get(sandbox_id)
        if sandbox.paused:
            raise SandboxPausedError.of(f"local:{sandbox_id}", sandbox_id=sandbox_id)
        return sandbox

    def matching(
        self, labels: dict[str, str], metadata: dict[str, str], state: str | None
    ) -> list[Sandbox]:
        """The usable sandboxes that carry all of these, oldest first."""
        return [
            sandbox
            for sandbox in self.live.values()
            if sandbox.ready.done()
            and not sandbox.unclaimed
            and sandbox.cause is None
            and labels.items() <= sandbox.info["labels"].items()
            and metadata.items() <= sandbox.info["metadata"].items()
            and state in (None, sandbox.info["state"])
        ]
