"""What we add to a vendor's SDK: both in front of our server of its protocol, over a long line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..case import Case
from ..closed import run_closed
from ..contenders.program import readable
from ..samples import Missing
from ..scenario import Call, Ran
from ..trial import Fault, Trial

__all__ = ["ROUND_TRIPS", "SDK", "US", "overhead", "overhead_title"]

ROUND_TRIPS = (0.0, 0.02, 0.08)
"""Seconds."""

US, SDK = "sandboxkit e2b", "e2b's own SDK"


def overhead_title(round_trip: float) -> str:
    """The name of the scenario over a line of this round-trip time, in seconds."""
    return f"create and a command on e2b's wire, {round_trip * 1000:.0f} ms away"


class Child:
    """A program of ours that is asked by lines and answers by lines."""

    def __init__(self, *words: str, env: dict[str, str] | None = None, cwd: str = ".") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            bufsize=0, env={**os.environ, **(env or {})}, cwd=cwd,
        )  # fmt: skip
        self._heard = b""

    def hear(self, seconds: float = 60.0) -> str:
        """Its next line.

        Raises:
            TimeoutError: it says nothing.
            Fault: it has ended.
        """
        assert self._process.stdout is not None
        while b"\n" not in self._heard:
            if not readable(self._process.stdout.fileno(), seconds):
                raise TimeoutError(f"no answer within {seconds:g} s")
            piece = self._process.stdout.read(1 << 16)
            if not piece:
                raise Fault("error", f"it ended with status {self._process.wait(timeout=5)}")
            self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode("utf-8", "replace")

    def ask(self, line: str) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    def end(self) -> None:
        """End it, and wait for it."""
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            process.terminate()
            process.wait(timeout=20)


PROFILE = """\
[profiles.bench]
provider = "e2b"
guest_user = ""
"""
"""Root of a local sandbox may not act for others, so the guest is the user itself."""


class Remote(Case):
    """A sandbox, a command in it, and its end, asked for over the line."""

    start_class, isolation, end = "forked", "namespaces", "exit_known"

    def __init__(self, who: str, port: int, key: str, round_trip: float) -> None:
        self.contender = US if who == "sandboxkit" else SDK
        self.baseline = who != "sandboxkit"
        self.scenario = overhead_title(round_trip)
        self.note = "the server starts sandboxes of the local provider"
        url = f"http://127.0.0.1:{port}"
        self._env = {"E2B_API_URL": url, "E2B_SANDBOX_URL": url, "E2B_API_KEY": key}
        self._who = who
        self._child: Child | None = None
        self._home: tempfile.TemporaryDirectory[str] | None = None

    @property
    def child(self) -> Child:
        assert self._child is not None
        return self._child

    def prepare(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="sandboxkit-bench-")
        Path(self._home.name, "sandboxkit.toml").write_text(PROFILE)
        program = "sandboxkit_bench.contenders.remote"
        self._child = Child(program, self._who, env=self._env, cwd=self._home.name)

    def attempt(self, trial: Trial) -> None:
        self.child.ask(f"echo $(({trial.challenge.a} + {trial.challenge.b}))")
        trial.kept["told"] = told = json.loads(self.child.hear(trial.limit))
        if "error" in told:
            raise Fault("error", str(told["error"]))
        call = trial.marks["call"]
        trial.mark("allocated", call + round(told["made"] * 1e9))
        trial.mark("exit_known", call + round(told["ended"] * 1e9))
        trial.extra["cpu"] = told["cpu"]

    def verify(self, trial: Trial) -> None:
        told: dict[str, Any] = trial.kept["told"]
        if told["output"].strip() != str(trial.challenge.a + trial.challenge.b):
            raise Fault("verify", f"got {told['output'][:80]!r}")

    def close(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None
        if self._home is not None:
            self._home.cleanup()
            self._home = None


def overhead(call: Call) -> Ran:
    """All round-trip times, one after the other."""
    ran = Ran()
    if find_spec("e2b") is None:
        why = "e2b's SDK is not installed"
        ran.missing.append(Missing("what we add to a vendor's SDK", why, "(pip install e2b)"))
        return ran
    words = ("serve", "--profile", "local", "--fidelity", "vendor", "--port", "0")
    server = Child("sandboxkit.cli", *words)
    try:
        told = "\n".join(server.hear() for _ in range(4))
        port = re.search(r"E2B_API_URL=http://127.0.0.1:(\d+)", told)
        key = re.search(r"E2B_API_KEY=(\S+)", told)
        if port is None or key is None:
            raise Fault("error", f"the server said {told[:200]!r}")
        for round_trip in ROUND_TRIPS:
            ran.add(over_line(call, int(port[1]), key[1], round_trip))
    except (Fault, TimeoutError) as error:
        ran.missing.append(Missing("what we add to a vendor's SDK", str(error)[:300]))
    finally:
        server.end()
    return ran


def over_line(call: Call, port: int, key: str, round_trip: float) -> Ran:
    """One round-trip time."""
    relay = Child("sandboxkit_bench.contenders.relay", str(port), str(round_trip))
    try:
        near = int(relay.hear())
        cases = [Remote(who, near, key, round_trip) for who in ("sandboxkit", "sdk")]
        share = Call(
            call.settings, call.seed, call.began, call.seconds / len(ROUND_TRIPS), call.rounds,
            call.tell,
        )  # fmt: skip
        return run_closed(cases, share)
    finally:
        relay.end()
