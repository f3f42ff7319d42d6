"""No sandbox at all: what the machine itself takes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from ..challenge import KEY_FILE, key
from ..settings import Settings
from ..trial import Trial
from .program import ProgramStart, listen

__all__ = ["HostCommand", "HostPython", "fastest_python"]


@cache
def fastest_python() -> str:
    """The interpreter that starts fastest here: ours, or the system's.

    Some installations take several times as long as others; the baseline gets the better one.
    """
    candidates = [os.path.realpath(sys.executable), "/usr/bin/python3"]
    taken = {path: _best(path) for path in candidates if os.path.exists(path)}
    return min(taken, key=lambda path: taken[path])


def _best(path: str, tries: int = 5) -> float:
    best = float("inf")
    for _ in range(tries):
        began = time.perf_counter()
        subprocess.run([path, "-c", "pass"], check=True)
        best = min(best, time.perf_counter() - began)
    return best


def python_for(settings: Settings, useful: bool) -> str:
    """The interpreter of a baseline."""
    return str(Path(settings.data or "", "bin", "python")) if useful else fastest_python()


class HostPython(ProgramStart):
    """``python3 -c`` without a sandbox."""

    start_class, contender = "none", "python3 -c, no sandbox"

    def __init__(self, settings: Settings, scenario: str, *, useful: bool = False) -> None:
        super().__init__(scenario, useful=useful)
        self._python = python_for(settings, useful)
        self.note = f"the interpreter is {self._python}"

    def command(self, program: str, trial: Trial) -> list[str]:
        return [self._python, "-c", program]


class HostCommand(ProgramStart):
    """A shell's answer, by `subprocess` without a sandbox."""

    start_class, contender = "none", "subprocess, no sandbox"

    def __init__(self, scenario: str, *, then: str = "", end: str = "exit_known") -> None:
        super().__init__(scenario)
        self._then, self.end = then, end
        self._key = key()
        self._home: tempfile.TemporaryDirectory[str] | None = None

    def prepare(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="sandboxkit-bench-")
        Path(self._home.name, KEY_FILE).write_text(f"{self._key}\n")

    def attempt(self, trial: Trial) -> None:
        assert self._home is not None
        command = trial.challenge.shell(then=self._then)
        if self.end == "exit_known":
            done = subprocess.run(
                command, cwd=self._home.name, capture_output=True, text=True, check=True,
                stdin=subprocess.DEVNULL, timeout=trial.limit,
            )  # fmt: skip
            trial.mark("exit_known")
            trial.text = done.stdout
        else:
            listen(command, trial, cwd=self._home.name)

    def verify(self, trial: Trial) -> None:
        trial.challenge.check_shell(trial.text, self._key)

    def close(self) -> None:
        if self._home is not None:
            self._home.cleanup()
            self._home = None
