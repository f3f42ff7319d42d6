"""The way to a peer in its process."""

from __future__ import annotations

import json
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...trial import Fault
from ..program import readable

__all__ = ["Answer", "Driver"]

DRIVER = Path(__file__).with_name("driver.py")
FAREWELL = 30.0
"""Seconds that a peer has to end its sandboxes when nothing more is asked for."""


@dataclass(frozen=True)
class Answer:
    """What a peer did.

    Attributes:
        output: of the command.
        marks: moments by phase, by the monotonic clock, as read next to the peer.
    """

    output: str = ""
    marks: dict[str, int] = field(default_factory=dict)


class Driver:
    """A process with one peer in it.

    Args:
        python: the interpreter that has it.
        adapter: the file that knows it.
        kind: the class in there.
        options: what that is given.
        limit: seconds that anything may take.

    Attributes:
        version: the peer's.

    Raises:
        FileNotFoundError: there is no such interpreter.
        ModuleNotFoundError: it lacks a module, whose name is `name`.
        Fault: it cannot be used.
        TimeoutError: nothing came.
    """

    def __init__(
        self, python: str, adapter: Path, kind: str, options: dict[str, Any], limit: float = 60.0
    ) -> None:
        self._limit = limit
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        command = [python, "-I", str(DRIVER), str(adapter), kind, json.dumps(options)]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
            )
        except OSError:
            self._errors.close()
            raise
        try:
            told = self._receive()
        except (Fault, TimeoutError):
            self.kill()
            self.close()
            raise
        if lacking := told.get("lacks"):
            self.close()
            raise ModuleNotFoundError(f"{python} has no module {lacking}", name=lacking)
        self.version: str = told["version"]

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(self, do: str, command: list[str] | None = None) -> Answer:
        """Let it do something.

        Args:
            do: ``start`` opens a sandbox and runs the command, ``run`` runs it, ``end`` closes.
            command: what runs.

        Raises:
            Fault: the peer raised, and its process has ended.
            TimeoutError: it took too long, and its process was ended.
        """
        assert self._process.stdin is not None
        line = json.dumps({"do": do, "command": command or []})
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Fault("died", self._last_words()) from None
        try:
            told = self._receive()
        except TimeoutError:  # ours, or that of the attempt: the late answer must meet no request
            self.kill()
            raise
        return Answer(told["output"], told["marks"])

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        # One answer to one request: nothing is in the reader's buffer that poll(2) cannot see.
        if not readable(self._process.stdout.fileno(), self._limit):
            raise TimeoutError(f"no answer after {self._limit:g} s")
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise Fault("error", self._last_words())
        found: dict[str, Any] = json.loads(line)
        return found

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][-300:] if lines else "its process ended without a word"

    def kill(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Let it end its sandboxes and itself."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended already
            self._process.stdin.close()
        try:
            self._process.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process.stdout.close()
        self._errors.close()
