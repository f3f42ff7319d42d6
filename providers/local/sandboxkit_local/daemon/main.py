"""The daemon's beginning and end."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from sandboxkit.errors import ProviderUnavailableError, SandboxError
from sandboxkit_local import codes, needs
from sandboxkit_local.jail import cgroup, freezer, idmap
from sandboxkit_local.paths import Paths

from .server import Server
from .service import Service
from .snapshots import SnapshotStore
from .zygotes import Zygotes

__all__ = ["main"]

_log = logging.getLogger(__name__)

_LOG_LIMIT = 1 << 20
_BACKLOG = 4096


def main(state: str, runtime: str, ready_fd: int, lock_fd: int, idle: float, prepare: int) -> int:
    """Run the daemon; its exit status.

    Args:
        state: the state directory, which exists.
        runtime: where the socket goes; exists too.
        ready_fd: a pipe that gets ``{}`` once we listen, or the error that keeps us from it.
        lock_fd: a lock that keeps others from starting another, given up once we listen.
        idle: seconds without sandboxes and clients after which to end.
        prepare: how many sandboxes to keep ready: one, or none.
    """
    if os.fork():
        os._exit(0)  # who started us waits for this one; the daemon is nobody's child to wait for
    paths = Paths(Path(state), Path(runtime))
    os.umask(0o077)
    _open_log(paths.log)
    held = os.open(paths.runtime / "daemon.alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)  # a predecessor may be about to end
    try:
        asyncio.run(_run(paths, ready_fd, lock_fd, idle, prepare=bool(prepare)))
    except SandboxError as error:
        _log.error("cannot start: %s", error)
        with contextlib.suppress(OSError):
            os.write(ready_fd, json.dumps(codes.to_wire(error)).encode())
        return 1
    return 0


async def _run(paths: Paths, ready_fd: int, lock_fd: int, idle: float, *, prepare: bool) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    ids = idmap.choose()
    cgroup.remove_leftovers(paths.journal)
    name = f"sandboxkit-{paths.digest}"
    if (cgroups := cgroup.detect()) is not None:
        cgroups.prepare(name, paths.journal)
    if (freezers := freezer.detect()) is not None:
        freezers.prepare(name, paths.journal, ids.uids[1])
    snapshots = SnapshotStore(paths.snapshots)
    snapshots.load()
    if ids.kind == "single" and idmap.is_host_root():
        raise ProviderUnavailableError(
            "this process has no id but the host's root, which no sandbox may have",
            hint=f"run as another user, {needs.INSTEAD}",
        )
    zygotes = Zygotes(ids, freezers, paths.digest)
    service = Service(ids, cgroups, freezers, snapshots, zygotes, prepare=prepare)
    paths.socket.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(paths.socket))
    listener.listen(_BACKLOG)
    server = Server(listener, service, idle, stopping.set)
    _log.info("the daemon runs as process %d", os.getpid())
    with contextlib.suppress(BrokenPipeError):  # who started us may be gone; others will come
        os.write(ready_fd, b"{}")
    os.close(ready_fd)
    os.close(lock_fd)
    await stopping.wait()
    _log.info("the daemon ends")
    paths.socket.unlink(missing_ok=True)
    server.close()
    await service.close()


def _open_log(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _LOG_LIMIT:
            path.replace(path.with_suffix(".log.old"))
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
