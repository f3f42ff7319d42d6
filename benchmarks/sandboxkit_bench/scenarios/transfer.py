"""Bytes into a sandbox and out of it: small files, large files, much output."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

from ..case import Case
from ..contenders.docker_api import ApiExec
from ..contenders.kit import KitLive
from ..settings import Settings
from ..trial import Fault, Trial

__all__ = ["DOWN", "OUTPUT", "READ", "UP", "WRITE", "large", "output", "small"]

WRITE, READ = "write 1 KiB", "read 1 KiB"
UP, DOWN = "upload 64 MiB", "download 64 MiB"
OUTPUT = "100 MiB of output"

KIB, MIB = 1 << 10, 1 << 20
SMALL, LARGE, STREAM = KIB, 64 * MIB, 100 * MIB


def content(trial: Trial, size: int) -> bytes:
    """Bytes that no attempt had before, without drawing them all anew: their beginning differs."""
    head = f"{trial.challenge.a} {trial.challenge.b} ".encode()
    return head + _filling(size)[len(head) :]


_fillings: dict[int, bytes] = {}


def _filling(size: int) -> bytes:
    if size not in _fillings:
        _fillings[size] = os.urandom(size)
    return _fillings[size]


class Box(KitLive):
    """A file of a sandbox."""

    def send(self, data: bytes) -> None:
        self.sandbox.files.write("moved", data)

    def receive(self) -> bytes:
        return self.sandbox.files.read_bytes("moved")

    def digest(self) -> str:
        """By a command inside."""
        return self.sandbox.run("sha256sum moved", timeout=60).check().stdout.split()[0]


class Archive(ApiExec):
    """The engine's archive API."""

    contender = "docker archive API"

    def send(self, data: bytes) -> None:
        self.engine.put(self.container, "moved", data)

    def receive(self) -> bytes:
        return self.engine.get(self.container, "moved")

    def digest(self) -> str:
        told = b"".join(self.engine.execute(self.container, ["sha256sum", "moved"]))
        return told.decode().split()[0]


class Disk(Case):
    """A file of this machine, written and read by this process."""

    contender = "open and write, no sandbox"

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario
        self._home: tempfile.TemporaryDirectory[str] | None = None

    def prepare(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="sandboxkit-bench-")

    @property
    def path(self) -> Path:
        assert self._home is not None
        return Path(self._home.name, "moved")

    def send(self, data: bytes) -> None:
        self.path.write_bytes(data)

    def receive(self) -> bytes:
        return self.path.read_bytes()

    def digest(self) -> str:
        return hashlib.sha256(self.receive()).hexdigest()

    def close(self) -> None:
        if self._home is not None:
            self._home.cleanup()
            self._home = None


Moving = Box | Archive | Disk


class Moved(Case):
    """A file that is moved one way by what a contender offers; the other side is checked."""

    def __init__(self, mover: Moving, scenario: str, size: int, *, up: bool) -> None:
        self.scenario, self.contender = scenario, mover.contender
        self.start_class, self.isolation = mover.start_class, mover.isolation
        self.baseline = mover.baseline
        self._mover, self._size, self._up = mover, size, up

    def prepare(self) -> None:
        self._mover.prepare()
        self.probed = self._mover.probed

    def attempt(self, trial: Trial) -> None:
        data = trial.kept["data"] = content(trial, self._size)
        if not self._up:
            self._mover.send(data)
        del trial.marks["call"]  # making the content is not what is measured
        trial.mark("call")
        if self._up:
            self._mover.send(data)
        else:
            trial.kept["got"] = self._mover.receive()
        trial.mark("answered")
        trial.extra["bytes"] = float(self._size)

    def verify(self, trial: Trial) -> None:
        data = trial.kept.pop("data")
        if self._up:
            right = self._mover.digest() == hashlib.sha256(data).hexdigest()
        else:
            right = trial.kept.pop("got") == data
        if not right:
            raise Fault("verify", "what arrived is not what was sent")

    def close(self) -> None:
        self._mover.close()


def movers(settings: Settings, scenario: str) -> list[Moving]:
    found: list[Moving] = [Box(settings, profile, scenario) for profile in settings.profiles]
    if settings.baselines:
        found += [Archive(settings, scenario), Disk(scenario)]
    return found


def small(settings: Settings) -> list[Case]:
    """1 KiB both ways."""
    return [
        Moved(mover, scenario, SMALL, up=up)
        for scenario, up in ((WRITE, True), (READ, False))
        for mover in movers(settings, scenario)
    ]


def large(settings: Settings) -> list[Case]:
    """64 MiB both ways."""
    return [
        Moved(mover, scenario, LARGE, up=up)
        for scenario, up in ((UP, True), (DOWN, False))
        for mover in movers(settings, scenario)
    ]


PRODUCE = "echo start {a}; head -c {size} /dev/zero; echo; echo end {a}"


def frame(trial: Trial) -> list[str]:
    return ["sh", "-c", PRODUCE.format(a=trial.challenge.a, size=STREAM)]


class Stream(Case):
    """Much output, counted as it comes and kept nowhere; memory is watched."""

    def attempt(self, trial: Trial) -> None:
        reset_peak()
        before = memory()[0]
        del trial.marks["call"]
        trial.mark("call")
        self.produce(trial)
        trial.mark("answered")
        trial.extra |= {"bytes": float(STREAM), "memory": float(max(0, memory()[1] - before))}

    def produce(self, trial: Trial) -> None:
        raise NotImplementedError

    def take(self, trial: Trial, piece: bytes | str) -> None:
        """Count a piece, keep its ends. Text is in ASCII here."""
        trial.extra["got"] = trial.extra.get("got", 0.0) + len(piece)
        trial.kept.setdefault("head", piece[:64])
        end = piece[-64:] if isinstance(piece, bytes) else piece[-64:].encode("ascii", "replace")
        trial.kept["tail"] = (trial.kept.get("tail", b"") + end)[-64:]

    def verify(self, trial: Trial) -> None:
        first, last = f"start {trial.challenge.a}\n", f"\nend {trial.challenge.a}\n"
        whole = len(first) + STREAM + len(last)
        head, tail = _text(trial.kept["head"]), _text(trial.kept["tail"])
        # The first line may come in pieces of its own; its beginning is enough.
        right = head[:5] == first[:5] and tail.endswith(last)
        if not right or trial.extra["got"] != whole:
            raise Fault("verify", f"{trial.extra['got']:.0f} bytes of {whole} came, or wrong ones")


class BoxStream(Stream):
    """As text by a callback, as `run` gives it, and bounded."""

    baseline = False

    def __init__(self, settings: Settings, profile: str) -> None:
        self._box = Box(settings, profile, OUTPUT)
        self.scenario, self.contender = OUTPUT, self._box.contender
        self.start_class, self.isolation = "live", self._box.isolation

    def prepare(self) -> None:
        self._box.prepare()
        self.probed = self._box.probed

    def produce(self, trial: Trial) -> None:
        def hear(text: str) -> None:
            self.take(trial, text)

        sandbox = self._box.sandbox
        sandbox.run(frame(trial), on_stdout=hear, max_output="1MiB", timeout=60).check()

    def close(self) -> None:
        self._box.close()


class ApiStream(Stream):
    """The engine's API, its pieces unpacked in Python."""

    contender, isolation, start_class = "docker exec (API)", "container", "live"
    scenario = OUTPUT

    def __init__(self, settings: Settings) -> None:
        self._inner = Archive(settings, OUTPUT)

    def prepare(self) -> None:
        self._inner.prepare()

    def produce(self, trial: Trial) -> None:
        for piece in self._inner.engine.execute(self._inner.container, frame(trial)):
            self.take(trial, piece)

    def close(self) -> None:
        self._inner.close()


class PipeStream(Stream):
    """A pipe of this machine."""

    contender, scenario = "pipe, no sandbox", OUTPUT

    def produce(self, trial: Trial) -> None:
        with subprocess.Popen(frame(trial), stdout=subprocess.PIPE, bufsize=0) as process:
            assert process.stdout is not None
            while piece := process.stdout.read(1 << 16):
                self.take(trial, piece)


def output(settings: Settings) -> list[Case]:
    """100 MiB of standard output."""
    cases: list[Case] = [BoxStream(settings, profile) for profile in settings.profiles]
    return cases + ([ApiStream(settings), PipeStream()] if settings.baselines else [])


def _text(piece: bytes | str) -> str:
    return piece if isinstance(piece, str) else piece.decode("ascii", "replace")


def reset_peak() -> None:
    """Let the kernel forget the largest size that this process had."""
    Path("/proc/self/clear_refs").write_text("5")


def memory() -> tuple[int, int]:
    """What this process has in memory, and the most that it had: bytes."""
    status = Path("/proc/self/status").read_text()
    found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+)", status, re.MULTILINE))
    return int(found["VmRSS"]) * KIB, int(found["VmHWM"]) * KIB
