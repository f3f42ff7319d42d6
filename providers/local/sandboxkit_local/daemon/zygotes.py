"""Starting zygotes, one per template, and asking them for sandboxes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from sandboxkit.errors import ProviderUnavailableError
from sandboxkit_local import bootstrap, codes, needs, wire
from sandboxkit_local.jail.freezer import Freezers
from sandboxkit_local.jail.idmap import Extent, IdMap
from sandboxkit_local.peer import Peer

__all__ = ["Listener", "Zygote", "Zygotes"]

_log = logging.getLogger(__name__)

Listener = Callable[[dict[str, Any], list[int]], None]
"""Gets what a zygote says of one sandbox, with descriptors that are now its own."""

_ENVIRONMENT = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "MPLCONFIGDIR": "/tmp",
    "OPENBLAS_NUM_THREADS": "1",  # else importing numpy leaves threads, which a fork loses
    "PATH": "/usr/local/bin:/usr/bin:/bin",
}


class Zygote:
    """One running zygote.

    Attributes:
        gone: done when it and all its sandboxes are dead.
    """

    def __init__(self, process: subprocess.Popen[bytes], sock: Any, what: str) -> None:
        self._process = process
        self._what = what
        self._peer = Peer(sock, self._message, self._end)
        self._listeners: dict[str, Listener] = {}
        loop = asyncio.get_running_loop()
        self._replies: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.gone: asyncio.Future[None] = loop.create_future()
        self._pidfd = os.pidfd_open(process.pid)
        loop.add_reader(self._pidfd, self._launcher_ended)
        assert process.stderr is not None
        self._last_words = "it gave no reason"
        self._said = process.stderr.fileno()
        os.set_blocking(self._said, False)
        loop.add_reader(self._said, self._complaint)

    async def start(self, template: dict[str, Any], ids: IdMap) -> None:
        """Bring it up.

        Raises:
            ProviderUnavailableError: this system does not let us, or the template cannot be used.
        """
        with contextlib.suppress(ConnectionError):  # what follows says why it died
            self._peer.send({**template, "ids": ids.dump()})
        await self._expect("unshared")
        await _write_maps(self._process.pid, ids)
        with contextlib.suppress(ConnectionError):
            self._peer.send({"do": "mapped"})
        await self._expect("ready")

    def spawn(self, message: dict[str, Any], fds: Sequence[int], listener: Listener) -> None:
        """Ask for a sandbox. `listener` hears ``spawned``, ``failed`` and ``ended``.

        Raises:
            ConnectionError: the zygote is gone.
            wire.Garbage: the message is too large.
        """
        self._listeners[message["id"]] = listener
        try:
            self._peer.send(message, fds)
        except (ConnectionError, wire.Garbage):
            del self._listeners[message["id"]]
            raise

    @property
    def alive(self) -> bool:
        """Whether it can be asked for sandboxes."""
        return not self._peer.closed

    def knows(self, sandbox_id: str) -> bool:
        """Whether a sandbox was asked for, and its end not heard of yet."""
        return sandbox_id in self._listeners

    async def kill(self) -> None:
        """End it and all its sandboxes; returns when they are gone. Idempotent."""
        self._strike()
        self._peer.close()
        await self.gone

    async def _expect(self, event: str) -> dict[str, Any]:
        reply = await self._replies.get()
        if reply is None:
            raise ProviderUnavailableError(
                f"the zygote for {self._what} died as it started: {self._last_words}",
                hint="sandboxkit doctor local",
            )
        if "code" in reply:
            raise codes.from_wire(reply)
        if "errno" in reply:
            raise ProviderUnavailableError(
                f"this system does not let us make sandboxes: {reply.get('message')}",
                hint=f"{needs.namespace_fix()}, {needs.INSTEAD}; sandboxkit doctor local says more",
            )
        if reply.get("event") != event:
            raise ProviderUnavailableError(
                f"the zygote for {self._what} could not start: {reply.get('message')}",
                hint="sandboxkit doctor local",
            )
        return reply

    def _message(self, message: dict[str, Any], fds: list[int]) -> None:
        listener = self._listeners.get(message.get("id", ""))
        if listener is None:
            wire.close_all(fds)
            self._replies.put_nowait(message)
            return
        if message["event"] in ("ended", "failed"):
            del self._listeners[message["id"]]
        listener(message, fds)

    def _end(self, error: Exception | None) -> None:
        _log.warning("the zygote for %s is gone (%s)", self._what, error or "it hung up")
        self._strike()  # whatever is wrong with it, nothing of it may live on unwatched

    def _strike(self) -> None:
        if not self.gone.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _complaint(self) -> None:
        said = os.read(self._said, 4096)
        if said:
            text = said.decode(errors="replace").strip()
            self._last_words = text.rpartition("\n")[2]
            _log.warning("the zygote for %s: %s", self._what, text)
        else:
            asyncio.get_running_loop().remove_reader(self._said)

    def _launcher_ended(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        self._process.wait()
        with contextlib.suppress(BlockingIOError):
            self._complaint()
        loop.remove_reader(self._said)
        assert self._process.stderr is not None
        self._process.stderr.close()
        os.close(self._pidfd)
        self._peer.close()
        self._replies.put_nowait(None)
        listeners, self._listeners = self._listeners, {}
        for name, listener in listeners.items():
            listener({"event": "ended", "id": name}, [])
        if not self.gone.done():
            self.gone.set_result(None)


class Zygotes:
    """The zygotes by template, each started when first needed.

    Args:
        ids: the ids they may use.
        freezers: where their sandboxes are paused, if anywhere.
        digest: tells this daemon's processes from another's in lists of processes.

    Attributes:
        digest: as given.
    """

    def __init__(self, ids: IdMap, freezers: Freezers | None, digest: str) -> None:
        self._ids = ids
        self._freezers = freezers
        self.digest = digest
        self._by_template: dict[str, asyncio.Task[Zygote]] = {}

    async def get(self, template: dict[str, Any]) -> Zygote:
        """The warm zygote of a template.

        Raises:
            ProviderUnavailableError: it cannot be had here.
        """
        key = json.dumps(template, sort_keys=True)
        task = self._by_template.get(key)
        if task is None or _failed(task) or (task.done() and not task.result().alive):
            task = self._by_template[key] = asyncio.create_task(self._start(template))
        return await asyncio.shield(task)

    async def kill_all(self) -> None:
        """End every zygote, and with them every sandbox."""
        tasks, self._by_template = self._by_template, {}
        if tasks:
            await asyncio.wait(tasks.values())
        for task in tasks.values():
            if not _failed(task):
                await task.result().kill()

    async def _start(self, template: dict[str, Any]) -> Zygote:
        started = asyncio.get_running_loop().time()
        ours, theirs = wire.pair()
        with theirs:
            try:
                # From this thread, the main one: the death signal follows the thread that forks.
                process = bootstrap.popen(
                    template["executable"],
                    f"sandboxkit-zygote-{self.digest}",
                    "sandboxkit_local.zygote.launcher",
                    theirs.fileno(),
                    os.getpid(),
                    agent=template["agent"],
                    env=_ENVIRONMENT,
                    cwd="/",
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=[theirs.fileno()],
                )
            except OSError as error:
                ours.close()
                raise ProviderUnavailableError(
                    f"cannot run {template['executable']}: {error}"
                ) from error
        zygote = Zygote(process, ours, repr(template["name"]))
        try:
            if self._freezers is not None:
                self._freezers.adopt(process.pid)
            await zygote.start(template, self._ids)
        except BaseException:
            await zygote.kill()
            raise
        took = asyncio.get_running_loop().time() - started
        _log.info("a zygote for %r is warm after %.3f s", template["name"], took)
        return zygote


def _failed(task: asyncio.Task[Zygote]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


async def _write_maps(pid: int, ids: IdMap) -> None:
    uids, gids = ids.outer()
    if ids.kind == "subordinate" and os.getuid() != 0:
        await _run_helper("newuidmap", pid, uids)
        await _run_helper("newgidmap", pid, gids)
        return
    try:
        if ids.kind == "single":
            _write(f"/proc/{pid}/setgroups", "deny")
        for name, extents in (("uid_map", uids), ("gid_map", gids)):
            lines = (" ".join(str(number) for number in extent) for extent in extents)
            _write(f"/proc/{pid}/{name}", "\n".join(lines))
    except OSError as error:
        raise ProviderUnavailableError(
            f"the kernel refused the user namespace's ids: {error.strerror}",
            hint="sandboxkit doctor local",
        ) from error


async def _run_helper(name: str, pid: int, extents: Sequence[Extent]) -> None:
    process = await asyncio.create_subprocess_exec(
        name,
        str(pid),
        *(str(number) for extent in extents for number in extent),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        raise ProviderUnavailableError(
            f"{name} failed: {said.decode(errors='replace').strip()[:200]}",
            hint="sandboxkit doctor local",
        )


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
