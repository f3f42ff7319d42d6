"""Speaks to one interpreter directly, without the agent."""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from sandboxkit.guest.agent.drivers import python as driver

PROGRAM = Path(driver.__file__)
PATIENCE = 10.0
"""Seconds after which an interrupt of which nothing is heard is sent again."""


@dataclass
class Outcome:
    """What a cell printed, showed and raised; `alive` is false if the interpreter ended."""

    stdout: str = ""
    stderr: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    alive: bool = True

    @property
    def text(self) -> str | None:
        shown = [event["data"]["text/plain"] for event in self.events if event["event"] == "result"]
        return shown[0] if shown else None

    @property
    def error(self) -> dict[str, Any]:
        (raised,) = [event for event in self.events if event["event"] == "raised"]
        return raised


class InterpreterClient:
    """An interpreter, forked from here or, given a `python`, started as a program."""

    def __init__(self, python: str | None = None) -> None:
        self._socket, theirs = socket.socketpair()
        self._out, out = os.pipe()
        self._err, err = os.pipe()
        fds = (theirs.fileno(), out, err)
        self.pid = _fork(*fds) if python is None else _spawn(python, *fds)
        theirs.close()
        os.close(out)
        os.close(err)
        self._number = 0
        assert self._receive() == {"event": "ready"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._socket.close()
        os.close(self._out)
        os.close(self._err)

    def interrupt(self) -> None:
        os.kill(self.pid, signal.SIGINT)

    def run(self, code: str, env: dict[str, str] | None = None, at: str = "") -> Outcome:
        """Run a cell. When its standard output contains `at`, interrupt it."""
        self._number += 1
        body = json.dumps({"code": code, "number": self._number, "env": env or {}}).encode()
        self._socket.sendall(len(body).to_bytes(4, "big") + body)
        outcome = Outcome()
        pieces = {self._out: bytearray(), self._err: bytearray()}
        patience: float | None = None
        while not self._step(pieces, outcome, patience):
            if at and at.encode() in pieces[self._out]:
                self.interrupt()
                at, patience = "", PATIENCE
        for fd, text in pieces.items():
            _drain(fd, text)
        outcome.stdout, outcome.stderr = (bytes(text).decode() for text in pieces.values())
        return outcome

    def _step(self, pieces: dict[int, bytearray], outcome: Outcome, patience: float | None) -> bool:
        with selectors.DefaultSelector() as selector:
            for source in (self._socket, self._out, self._err):
                selector.register(source, selectors.EVENT_READ)
            heard = selector.select(patience)
            if not heard:
                # Python goes on waiting for a lock if the signal came just before it began to.
                self.interrupt()
            for key, _ in heard:
                if key.fd in pieces:
                    pieces[key.fd] += os.read(key.fd, 65_536)
                    continue
                event = self._receive()
                outcome.alive = event is not None
                if event is None or event["event"] == "done":
                    return True
                if event["event"] != "begun":
                    outcome.events.append(event)
        return False

    def _receive(self) -> dict[str, Any] | None:
        header = self._socket.recv(4, socket.MSG_WAITALL)
        if not header:
            return None
        body = self._socket.recv(int.from_bytes(header, "big"), socket.MSG_WAITALL)
        message: dict[str, Any] = json.loads(body)
        return message


def _drain(fd: int, text: bytearray) -> None:
    os.set_blocking(fd, False)
    try:
        while piece := os.read(fd, 65_536):
            text += piece
    except BlockingIOError:
        pass
    os.set_blocking(fd, True)


def _fork(channel: int, out: int, err: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.freeze()
        os.closerange(3, channel)
        os.closerange(channel + 1, 1024)
        driver.run(channel)
    finally:
        os._exit(70)


def _spawn(python: str, channel: int, out: int, err: int) -> int:
    process = subprocess.Popen(
        [python, str(PROGRAM), str(channel)],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        pass_fds=[channel],
        start_new_session=True,
    )
    process.returncode = 0  # it is reaped by its number, as a forked one is
    return process.pid
