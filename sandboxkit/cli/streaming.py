"""A command in a sandbox, joined to this process's standard streams byte for byte."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from sandboxkit.errors import SandboxError
from sandboxkit.units import format_size

if TYPE_CHECKING:
    from sandboxkit import OutputChunk, Process, Sandbox

__all__ = ["command_of", "run_streaming", "write_chunk"]

STALL = 0.3
"""Seconds after the exit in which the last output must begin to come."""

CHUNK = 64 << 10


def run_streaming(sandbox: Sandbox, command: str | Sequence[str], **options: Any) -> int:
    """Run a command, its output going where ours goes as it comes; returns its exit code.

    Ctrl-C, or any other end of this call, ends the command.

    Raises:
        CommandTimeoutError: the timeout ended it.
        ExecLostError: its end cannot be known.
    """
    process = sandbox.start(command, **options)
    copier = _Copier(process)
    copier.start()
    if options.get("stdin"):
        # A thread that waits for a terminal cannot be stopped; it must not keep us alive.
        threading.Thread(target=_feed, args=(process,), daemon=True).start()
    try:
        result = process.wait()
    except BaseException:
        process.kill()
        raise
    finally:
        copier.settle()
        process.close()
        copier.join()
    copier.check()
    if result.oom:
        click.echo(f"sandboxkit: {_out_of_memory(sandbox)}", err=True)
    return result.exit_code


def _out_of_memory(sandbox: Sandbox) -> str:
    said = "the kernel killed a process of the command for want of memory"
    try:
        limit = sandbox.metrics().memory_limit
    except (SandboxError, OSError):
        limit = None  # the command's end is what matters, and it is known
    if limit is None:
        return f"{said}; --memory SIZE gives a sandbox more"
    return f"{said}: the sandbox may use {format_size(limit)}; --memory SIZE gives one more"


def _feed(process: Process) -> None:
    source: BinaryIO = sys.stdin.buffer
    try:
        while data := source.read1(CHUNK):  # type: ignore[attr-defined]
            process.write(data)
        process.close_stdin()
    except (SandboxError, OSError):
        return  # the command ended or closed its input: its exit code tells


class _Copier(threading.Thread):
    """Copies a process's output to ours."""

    def __init__(self, process: Process) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._busy = threading.Event()
        self._moved = threading.Event()
        self._failure: OSError | None = None

    def run(self) -> None:
        try:
            for chunk in self._process:
                self._busy.set()
                write_chunk(chunk)
                self._busy.clear()
                self._moved.set()
        except SandboxError:
            return  # whoever waits for the process hears of it
        except OSError as error:
            self._failure = error
            self._process.kill()

    def settle(self) -> None:
        """Wait for the last output: until its end, or until none comes though we could take it."""
        while self.is_alive():
            self._moved.clear()
            self.join(STALL)
            if not self._moved.is_set() and not self._busy.is_set():
                return

    def check(self) -> None:
        """Raise what kept our output from being written.

        Raises:
            BrokenPipeError: nobody reads it any more.
        """
        if self._failure is not None:
            raise self._failure


def write_chunk(chunk: OutputChunk) -> None:
    """Pass a piece of output on, to the stream of ours that it belongs to.

    Raises:
        OSError: nobody reads that any more.
    """
    stream = (sys.stdout if chunk.stream == "stdout" else sys.stderr).buffer
    stream.write(chunk.data)
    stream.flush()


def command_of(command: Sequence[str]) -> str | list[str]:
    """One argument is text for the sandbox's shell; several are a program and its arguments."""
    if not command:
        raise click.UsageError("no command; write it after --")
    return command[0] if len(command) == 1 else list(command)
