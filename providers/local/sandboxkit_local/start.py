"""Getting a socket to this user's daemon, which is started if there is none."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import subprocess
import sys
import time

from sandboxkit.errors import ProviderUnavailableError

from . import bootstrap, codes
from .paths import Paths

__all__ = ["IDLE_VARIABLE", "PREPARED_VARIABLE", "connect"]

IDLE_VARIABLE = "SANDBOXKIT_DAEMON_IDLE"
"""Names the seconds after which a daemon without sandboxes and clients ends."""

PREPARED_VARIABLE = "SANDBOXKIT_LOCAL_PREPARED"
"""Set to ``0``, it keeps the daemon from having a sandbox ready before it is asked for."""

_IDLE = 600.0
_log = logging.getLogger("sandboxkit.local")


def connect(paths: Paths, *, start: bool = True) -> socket.socket:
    """A connection to the daemon. Blocks while one starts.

    Args:
        paths: which daemon.
        start: whether to start one.

    Raises:
        ProviderUnavailableError: none runs and none could be started.
    """
    sock = _try(paths)
    if sock is None and start:
        # Several clients may have seen that there is none; the lock lets one start it.
        lock = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            sock = _try(paths)
            if sock is None:
                _start(paths, lock)
                sock = _try(paths)
        finally:
            os.close(lock)
    if sock is None:
        raise ProviderUnavailableError(
            "the local daemon cannot be reached", hint=f"see {paths.log}", retryable=True
        )
    return sock


def _try(paths: Paths) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        sock.connect(str(paths.socket))
    except (FileNotFoundError, ConnectionRefusedError):
        sock.close()
        return None
    return sock


def _start(paths: Paths, lock: int) -> None:
    """Start one. It too holds the lock until it serves: whoever started it may be killed before."""
    began = time.monotonic()
    reading, writing = os.pipe()
    try:
        starter = bootstrap.popen(
            sys.executable,
            f"sandboxkit-daemon-{paths.digest}",
            "sandboxkit_local.daemon.main",
            str(paths.state),
            str(paths.runtime),
            writing,
            lock,
            float(os.environ.get(IDLE_VARIABLE) or _IDLE),
            int(os.environ.get(PREPARED_VARIABLE) != "0"),
            env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"},
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[writing, lock],
            start_new_session=True,
        )
        os.close(writing)
        writing = -1
        said = os.read(reading, 65_536)
        starter.wait()  # the daemon is its child, and outlives both
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    if not said:
        raise ProviderUnavailableError("the local daemon did not start", hint=f"see {paths.log}")
    answer = json.loads(said)
    if answer:
        raise codes.from_wire(answer)
    _log.info("started the daemon in %.3f s", time.monotonic() - began)
