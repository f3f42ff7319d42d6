"""A small blocking client that speaks raw frames, and the agent as a subprocess."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from sandboxkit.guest.agent import frames
from sandboxkit.guest.agent.frames import Frame

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0


class RawClient:
    """One connection. It grants credit for what it has taken, unless told to stall."""

    def __init__(self, sock: socket.socket, *, greet: bool = True, token: str = "") -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self.decoder = frames.Decoder()
        self.inbox: dict[int, deque[Frame]] = {}
        self.hello: dict[str, Any] = {}
        self.stalled: set[int] = set()
        self.credit: dict[int, int] = {}
        self.next = 1
        self.closed = False
        if greet:
            self.send_json(frames.HELLO, 0, {"major": 1, "minor": 0, "token": token})
            self.hello = self.frame(0).json()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send_json(self, kind: int, stream: int, value: dict[str, Any]) -> None:
        self.send(frames.encode_json(kind, stream, value))

    def open(self, op: str, **arguments: Any) -> int:
        number = self.next
        self.next += 1
        self.credit[number] = frames.WINDOW
        self.inbox.setdefault(number, deque())
        self.send_json(frames.OPEN, number, {"op": op, **arguments})
        return number

    def control(self, stream: int, **message: Any) -> None:
        self.send_json(frames.CONTROL, stream, message)

    def reset(self, stream: int) -> None:
        self.send(frames.encode(frames.RESET, stream))

    def pump(self) -> None:
        """Take in what the next read brings."""
        data = self.sock.recv(1 << 20)
        if not data:
            self.closed = True
            return
        for frame in self.decoder.feed(data):
            if frame.type == frames.CREDIT:
                held = self.credit.get(frame.stream, frames.WINDOW)
                self.credit[frame.stream] = held + frame.credit()
                continue
            self.inbox.setdefault(frame.stream, deque()).append(frame)
            if frame.type == frames.DATA and frame.payload and frame.stream not in self.stalled:
                self.send(frames.encode_credit(frame.stream, frame.channel, len(frame.payload)))

    def frame(self, stream: int) -> Frame:
        """The next frame of a stream."""
        box = self.inbox.setdefault(stream, deque())
        while not box:
            if self.closed:
                raise EOFError(f"closed while waiting on stream {stream}")
            self.pump()
        return box.popleft()

    def event(self, stream: int, name: str) -> dict[str, Any]:
        """Wait for an event of this name; DATA before it is kept."""
        kept = []
        while True:
            frame = self.frame(stream)
            if frame.type == frames.EVENT and frame.json()["event"] == name:
                self.inbox[stream].extendleft(reversed(kept))
                return frame.json()
            if frame.type in (frames.RESULT, frames.ERROR):
                raise AssertionError(f"{name} never came, but {frame}")
            kept.append(frame)

    def finish(self, stream: int) -> Outcome:
        """Everything up to the end of a stream."""
        outcome = Outcome()
        while not outcome.add(self.frame(stream)):
            pass
        return outcome

    def call(self, op: str, **arguments: Any) -> Outcome:
        return self.finish(self.open(op, **arguments))

    def write(self, stream: int, data: bytes, fin: bool = True) -> None:
        """Send DATA as credit allows."""
        view = memoryview(data)
        while view:
            while not self.credit[stream]:
                self.pump()
            size = min(len(view), self.credit[stream], frames.MAX_DATA)
            self.credit[stream] -= size
            self.send(frames.encode(frames.DATA, stream, view[:size]))
            view = view[size:]
        if fin:
            self.send(frames.encode(frames.DATA, stream, b"", fin=True))

    def bye(self) -> None:
        self.send(frames.encode(frames.BYE, 0))
        self.sock.close()

    def wait_closed(self) -> None:
        try:
            while not self.closed:
                self.pump()
        except ConnectionResetError:
            self.closed = True


class Outcome:
    """What a stream brought.

    Attributes:
        order: types and event names, as they came.
    """

    def __init__(self) -> None:
        self.data: dict[int, bytearray] = {0: bytearray(), 1: bytearray(), 2: bytearray()}
        self.events: list[dict[str, Any]] = []
        self.order: list[str] = []
        self.result: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None

    def add(self, frame: Frame) -> bool:
        if frame.type == frames.DATA:
            self.data[frame.channel] += frame.payload
            self.order.append(f"fin{frame.channel}" if frame.fin else f"data{frame.channel}")
        elif frame.type == frames.EVENT:
            self.events.append(frame.json())
            self.order.append(self.events[-1]["event"])
        elif frame.type == frames.RESULT:
            self.result = frame.json()
            return True
        elif frame.type == frames.ERROR:
            self.error = frame.json()
            return True
        return False

    @property
    def stdout(self) -> bytes:
        return bytes(self.data[1])

    @property
    def stderr(self) -> bytes:
        return bytes(self.data[2])

    def event(self, name: str) -> dict[str, Any]:
        found = [event for event in self.events if event["event"] == name]
        assert len(found) == 1, (self.events, self.error)
        return found[0]


class Agent:
    """The real agent, unsandboxed; `errors` holds what it wrote to its stderr when it has ended."""

    def __init__(
        self,
        workdir: Path,
        *options: str,
        python: str = sys.executable,
        extra_groups: list[int] | None = None,
    ) -> None:
        ours, theirs = socket.socketpair()
        self.socket_path = str(workdir / "agent.sock")
        self.process = subprocess.Popen(
            [
                python,
                str(ROOT / "sandboxkit" / "guest" / "agent"),
                f"--connection-fd={theirs.fileno()}",
                f"--listen={self.socket_path}",
                f"--workdir={workdir}",
                *options,
            ],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            extra_groups=extra_groups,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        theirs.close()
        self.first = ours
        self.dialled: list[socket.socket] = []
        self.errors = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    def dial(self, **options: Any) -> RawClient:
        assert eventually(lambda: os.path.exists(self.socket_path))
        sock = socket.socket(socket.AF_UNIX)
        self.dialled.append(sock)
        assert eventually(lambda: sock.connect_ex(self.socket_path) == 0)
        return RawClient(sock, **options)

    def rss(self, peak: bool = False) -> int:
        """Bytes of memory."""
        field = "VmHWM:" if peak else "VmRSS:"
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith(field):
                    return int(line.split()[1]) * 1024
        raise AssertionError("no such field")

    def stop(self) -> None:
        """End it, and what it started."""
        for pid in carriers(b"", parent=self.pid):
            kill(pid)
        self.process.kill()
        assert self.process.stderr is not None
        self.errors = self.process.stderr.read()
        self.process.wait()
        self.process.stderr.close()
        for sock in (self.first, *self.dialled):
            sock.close()


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 9)


def carriers(text: bytes, parent: int | None = None) -> list[int]:
    """Live processes with `text` in their environment, under `parent` if given."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and (parent is None or parent in ancestors(int(name))):
            try:
                environment = Path(f"/proc/{name}/environ").read_bytes()
                state = Path(f"/proc/{name}/stat").read_bytes().rpartition(b") ")[2][:1]
            except OSError:
                continue
            if text in environment and state != b"Z":
                found.append(int(name))
    return found


def running(command: bytes) -> list[int]:
    """Live processes with `command` in their command line."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                if command in Path(f"/proc/{name}/cmdline").read_bytes():
                    found.append(int(name))
    return found


def ancestors(pid: int) -> list[int]:
    found = []
    while pid > 1:
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            break
        pid = int(stat.rpartition(b") ")[2].split()[1])
        found.append(pid)
    return found


def eventually(check: Any, patience: float = 10.0) -> bool:
    """Whether `check()` becomes true."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.02)
    return bool(check())
