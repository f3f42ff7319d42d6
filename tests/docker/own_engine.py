"""An engine for one test alone, on a small file system of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest

__all__ = ["OwnEngine", "eventually", "file_system"]

# In a network of its own, or it would take the other engine's bridge away. A listener that it is
# handed, as systemd hands them, stays in ours.
_ALONE = [
    "unshare", "--net", "bash", "-c",
    'ip link set lo up && LISTEN_PID=$$ exec dockerd "$@" 3<&"${LISTENER:-0}"', "dockerd",
]  # fmt: skip


def eventually(true: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until something is true, and fail if it does not become so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


@contextlib.contextmanager
def file_system(directory: Path, kind: str = "tmpfs", size: str = "600m") -> Iterator[None]:
    """Mount a new one at a directory; a test that may not, or has no tools for it, is skipped.

    Args:
        directory: empty.
        kind: ``tmpfs``, or ``btrfs`` in a file beside the directory.
        size: as `mount` and `truncate` take it.
    """
    if os.getuid() != 0:
        pytest.skip("only root can mount")
    if kind == "tmpfs":
        mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(directory)]
    else:
        if not shutil.which(f"mkfs.{kind}"):
            pytest.skip(f"there is no mkfs.{kind} (try: .ci/docker-engine)")
        disk = f"{directory}.img"
        subprocess.run(["truncate", "-s", size, disk], check=True)
        subprocess.run([f"mkfs.{kind}", "-q", disk], check=True, capture_output=True)
        mounting = ["mount", "-t", kind, "-o", "loop", disk, str(directory)]
    if subprocess.run(mounting).returncode != 0:
        pytest.skip(f"this machine mounts no {kind}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-R", str(directory)], check=True)


class OwnEngine:
    """It can be stopped and started.

    Args:
        place: where all that is its own lies.
        driver: of its storage.

    Attributes:
        more: arguments of dockerd, for when it is started next.
        listener: where clients reach it besides, if anywhere.
    """

    def __init__(self, place: Path, driver: str = "vfs") -> None:
        self.address = f"unix://{place}/engine.sock"
        self.more: Sequence[str] = ()
        self.listener: socket.socket | None = None
        self._log = place / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [
            *_ALONE,
            "--data-root", f"{place}/data", "--exec-root", f"{place}/exec",
            "--pidfile", f"{place}/pid", "--host", self.address,
            "--bridge", "none", "--iptables=false", "--storage-driver", driver,
        ]  # fmt: skip

    @property
    def pid(self) -> int:
        """Of its process, whose network is its own."""
        assert self._process is not None
        return self._process.pid

    def docker(self, *words: str, content: bytes | None = None) -> bytes:
        """A command of Docker's command line; its output."""
        command = ["docker", "--host", self.address, *words]
        return subprocess.run(command, input=content, capture_output=True, check=True).stdout

    def load(self, *names: str) -> None:
        """Copy images from the other engine."""
        saved = subprocess.run(["docker", "save", *names], capture_output=True, check=True).stdout
        self.docker("load", content=saved)

    def census(self) -> set[tuple[str, str]]:
        """All that there is on it, each by its kind and its name."""
        listed = (
            ("container", ("ps", "--all", "--format", "{{.Names}}")),
            ("volume", ("volume", "ls", "--quiet")),
            ("image", ("images", "--all", "--quiet", "--no-trunc")),
            ("network", ("network", "ls", "--format", "{{.Name}}")),
        )
        return {(kind, line) for kind, of in listed for line in self.docker(*of).decode().split()}

    def start(self) -> None:
        """Return when it answers."""
        command = [*self._command, *self.more]
        env, fds = dict(os.environ), []
        if self.listener is not None:
            command += ["--host", "fd://"]
            fds = [self.listener.fileno()]
            env |= {"LISTEN_FDS": "1", "LISTENER": str(fds[0])}
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=env, pass_fds=fds, stdin=subprocess.DEVNULL
            )
        asking = ["docker", "--host", self.address, "info"]
        eventually(lambda: subprocess.run(asking, capture_output=True).returncode == 0, 60)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Return when it has ended. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(60)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
