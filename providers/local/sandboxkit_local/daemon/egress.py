"""The daemon's side of egress proxies: each is started with its sandbox, and ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from sandboxkit.errors import TransportError
from sandboxkit_local import bootstrap, wire
from sandboxkit_local.jail.idmap import IdMap
from sandboxkit_local.peer import Peer

__all__ = ["Egress", "proxy_user"]

_log = logging.getLogger(__name__)

_NOBODY = 65_534


def proxy_user(ids: IdMap) -> list[int] | None:
    """The host's user and group that a proxy becomes; ``None`` where it must stay who we are.

    As root it is one of the zygotes' range, whom nothing else on the host runs as.
    """
    if os.getuid() != 0:
        return None
    if ids.kind == "root":
        return [ids.uids[1] + _NOBODY, ids.gids[1] + _NOBODY]
    return [_NOBODY, _NOBODY]


class Egress:
    """The proxy of one sandbox.

    Args:
        rules: what may be reached.
        user: who it becomes, as `proxy_user` says.
        digest: tells this daemon's processes from another's.

    Raises:
        TransportError: it cannot be started.

    Attributes:
        gone: done when its process is.
    """

    def __init__(self, rules: Sequence[str], user: list[int] | None, digest: str) -> None:
        self._order = {"rules": list(rules), "user": user}
        self._outlet = -1
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        ours, theirs = wire.pair()
        with theirs:
            try:
                self._process = _start(theirs.fileno(), digest)
            except OSError as error:
                ours.close()
                raise TransportError(f"the egress proxy: {error}", outcome="not_started") from error
        self._pidfd = os.pidfd_open(self._process.pid)
        loop.add_reader(self._pidfd, self._ended)
        self._peer = Peer(ours, self._said, lambda _: self.close())

    def offer(self, outlet: int) -> None:
        """Take the socket that the sandbox's loopback listens with; only one, the first."""
        if self._outlet < 0 and not self._ready.done():
            self._outlet = outlet
        else:
            os.close(outlet)

    async def serve(self) -> None:
        """Let it accept from the sandbox's socket, and return when it does.

        Raises:
            TransportError: it died, or the sandbox had no socket.
        """
        outlet, self._outlet = self._outlet, -1
        try:
            if outlet < 0:
                raise TransportError("the sandbox offers no way out", outcome="not_started")
            with contextlib.suppress(ConnectionError):  # what follows tells of it
                self._peer.send(self._order, [outlet])
        finally:
            wire.close_all([outlet] if outlet >= 0 else [])
        await asyncio.shield(self._ready)

    def close(self) -> None:
        """End it; `gone` says when that is done. Idempotent."""
        self._peer.close()
        if self._outlet >= 0:
            os.close(self._outlet)
            self._outlet = -1
        if not self.gone.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _said(self, message: dict[str, Any], fds: list[int]) -> None:
        wire.close_all(fds)
        if message.get("event") == "ready" and not self._ready.done():
            self._ready.set_result(None)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        status = self._process.wait()
        if not self._peer.closed:
            # Its socket is closed with it: the sandbox reaches nothing any more.
            _log.warning("an egress proxy has died with status %s", status)
            self._peer.close()
        self.gone.set_result(None)
        if not self._ready.done():
            self._ready.set_exception(
                TransportError("the egress proxy died as it started", outcome="not_started")
            )
            self._ready.exception()  # somebody may have stopped waiting; that is no bug


def _start(control: int, digest: str) -> subprocess.Popen[bytes]:
    return bootstrap.popen(
        sys.executable,
        f"sandboxkit-egress-{digest}",
        "sandboxkit_local.egress",
        control,
        os.getpid(),
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=None,
        pass_fds=[control],
    )
