"""Clients in processes of their own, to be killed: forked from one that has imported all they need.

An SDK may take seconds to be imported, which else each of them would take.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Self, TextIO

__all__ = ["Client", "Nurseries"]

_PROGRAM = """
import json, os, signal, socket, sys, traceback
from sandboxkit.plugins import load_provider
from sandboxkit.resolve import target
load_provider(target(sys.argv[1]).provider)
line = socket.socket(fileno=int(sys.argv[2]))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that the kernel buries them
while True:
    order, sent, _, _ = socket.recv_fds(line, 1 << 16, 1)
    if not order:
        break
    said = sent[0]
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        line.close()
        os.dup2(said, 1)
        os.close(said)
        script, sys.argv[1:] = json.loads(order)
        try:
            exec(compile(script, "client", "exec"), {"__name__": "__main__"})
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(said)
    line.sendall(pid.to_bytes(4, "big"))
"""


@dataclass(frozen=True, slots=True)
class Client:
    """One of them.

    Attributes:
        pid: of its process.
        stdout: what it prints.
    """

    pid: int
    stdout: TextIO

    def kill(self) -> None:
        """Kill it with SIGKILL, and return when it is gone."""
        with self.stdout:
            os.kill(self.pid, signal.SIGKILL)
            self.stdout.read()


class Nurseries:
    """Starts them, for each profile from a process of its own. Ended by ``with``."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[subprocess.Popen[bytes], socket.socket]] = {}

    def client(self, profile: str, script: str, *arguments: str) -> Client:
        """Run a program with these arguments, as ``python -c`` would."""
        if profile not in self._open:
            self._open[profile] = _started(profile)
        line = self._open[profile][1]
        reading, writing = os.pipe()
        try:
            socket.send_fds(line, [json.dumps([script, arguments]).encode()], [writing])
        finally:
            os.close(writing)
        return Client(int.from_bytes(line.recv(4), "big"), os.fdopen(reading))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            process, line = self._open.popitem()[1]
            line.close()
            process.wait()


def _started(profile: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        number = theirs.fileno()
        command = [sys.executable, "-c", _PROGRAM, profile, str(number)]
        return subprocess.Popen(command, pass_fds=[number]), ours
