"""Programs of this machine as contenders: started with pipes, listened to, waited for."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence

from ..case import Case
from ..challenge import own_namespace
from ..trial import Fault, Trial

__all__ = ["ProgramStart", "listen", "needed", "readable"]


def needed(program: str, package: str = "") -> str:
    """Where a program is.

    Raises:
        FileNotFoundError: it is not installed; says by which package it comes.
    """
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise FileNotFoundError(
            f"{program} is not installed (Debian: apt-get install {package or program})"
        )
    return found


def readable(fd: int, seconds: float) -> bool:
    """Wait until a descriptor can be read; false if it cannot after so long."""
    look = select.poll()  # select(2) takes no descriptor above 1023
    look.register(fd, select.POLLIN)
    return bool(look.poll(max(0.0, seconds) * 1000))


def listen(
    command: Sequence[str],
    trial: Trial,
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a command and mark when its first output, its answer and its end are here."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        bufsize=0, cwd=cwd, env=env,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        deadline = time.monotonic() + trial.limit
        try:
            while True:
                left = deadline - time.monotonic()
                if left <= 0 or not readable(process.stdout.fileno(), left):
                    raise TimeoutError(f"no end after {trial.limit:g} s")
                piece = os.read(process.stdout.fileno(), 65536)
                if not piece:
                    break
                trial.hear(piece.decode("utf-8", "replace"))
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            process.kill()
            raise
        trial.mark("exit_known")
        if process.returncode != 0:
            text = process.stderr.read().decode("utf-8", "replace")
            raise Fault("error", f"status {process.returncode}: {text.strip()[-200:]}")


class ProgramStart(Case):
    """A program that makes something of its own, runs Python in it, and removes it again."""

    start_class = "warm"

    def __init__(self, scenario: str, *, useful: bool = False) -> None:
        self.scenario, self.useful = scenario, useful

    def command(self, program: str, trial: Trial) -> list[str]:
        """What runs a Python program."""
        raise NotImplementedError

    def attempt(self, trial: Trial) -> None:
        listen(self.command(trial.challenge.python(useful=self.useful), trial), trial)

    def verify(self, trial: Trial) -> None:
        answer = trial.challenge.check_python(trial.text, useful=self.useful)
        trial.began(answer.clock)
        apart = answer.namespace != own_namespace()
        if apart != (self.isolation != "none"):
            raise Fault("isolation", f"{self.isolation} is declared, and it ran elsewhere")
        self.probed = "own mnt" if apart else "nothing of its own"
