"""Code with state, snapshots, forks, pauses."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from sandboxkit import ContextInfo, Sandbox, Snapshot
from sandboxkit.plugins import provider_info

from ..case import Case
from ..challenge import KEY_FILE
from ..contenders.kit import KitLive, end
from ..settings import Settings, provider_of
from ..trial import Fault, Trial

__all__ = ["CELL", "CONTEXT", "FORK", "PAUSE", "SNAPSHOT", "cells", "contexts", "states"]

CELL, CONTEXT = "cell in a warm context", "new context to first result"
SNAPSHOT, FORK, PAUSE = "snapshot", "fork to answer", "pause, resume and answer"


QUIET = 0.7
"""Seconds that a guest has to prepare an interpreter. Nothing tells when it has."""


class Cell(KitLive):
    """An expression with a variable of an earlier cell."""

    def prepare(self) -> None:
        super().prepare()
        self.sandbox.run_code(f"key = int(open({KEY_FILE!r}).read())").check()

    def attempt(self, trial: Trial) -> None:
        execution = self.sandbox.run_code(f"key * {trial.challenge.a}", timeout=trial.limit)
        trial.mark("answered")
        trial.text = execution.text or ""


class Context(KitLive):
    """A context of its own and its first cell, which reads the key.

    The first context of a sandbox is forked, or started as a program. Once one was made, the guest
    prepares another interpreter for the next, so the two are told apart: a new sandbox for each
    attempt, or one that is given time to prepare.
    """

    def __init__(self, settings: Settings, profile: str, *, prepared: bool = False) -> None:
        name = f"sandboxkit {profile}" + (" (prepared)" if prepared else "")
        super().__init__(settings, profile, CONTEXT, name)
        self._prepared = prepared
        self.start_class = "forked" if self.isolation == "namespaces" else "warm"
        if prepared:
            self.start_class = "pooled"
            self.note = f"an interpreter had {QUIET:g} s to be prepared by the guest"

    def attempt(self, trial: Trial) -> None:
        if self._prepared:
            time.sleep(QUIET)
        else:
            self.close()
            self.prepare()
        del trial.marks["call"]  # what came before is not what is measured
        trial.mark("call")
        context = trial.kept["context"] = self.sandbox.contexts.create()
        trial.mark("allocated")
        program = f"int(open({KEY_FILE!r}).read()) * {trial.challenge.a}"
        execution = self.sandbox.run_code(program, context=context, timeout=trial.limit)
        trial.mark("answered")
        trial.text = execution.text or ""

    def tidy(self, trial: Trial) -> None:
        context: ContextInfo | None = trial.kept.get("context")
        if context is not None:
            self.sandbox.contexts.remove(context)


JUPYTER = """
import json, sys
from jupyter_client import KernelManager

def cell(client, code):
    ours = client.execute(code, allow_stdin=False)
    text = None
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") != ours:
            continue
        if message["msg_type"] == "execute_result":
            text = message["content"]["data"]["text/plain"]
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            client.get_shell_msg(timeout=60)
            return text

def start():
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    return manager, client

warm = None
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    what, code = json.loads(line)
    if what == "warm":
        warm = warm or start()
        print(json.dumps(cell(warm[1], code)), flush=True)
        continue
    manager, client = start()
    print(json.dumps(cell(client, code)), flush=True)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
if warm is not None:
    warm[1].stop_channels()
    warm[0].shutdown_kernel(now=True)
"""


class Jupyter(Case):
    """ipykernel, driven by jupyter_client in a process of its own."""

    contender = "ipykernel, no sandbox"

    def __init__(self, settings: Settings, scenario: str, what: str) -> None:
        self.scenario, self._what = scenario, what
        self._data = settings.data
        self._process: subprocess.Popen[str] | None = None
        self.note = "asked through a pipe, which adds well under a millisecond"

    def prepare(self) -> None:
        if self._data is None:
            raise FileNotFoundError("there is no environment with ipykernel and jupyter_client")
        self._process = subprocess.Popen(
            [str(Path(self._data, "bin", "python")), "-c", JUPYTER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        if self._hear() != "ready":
            raise FileNotFoundError(f"{self._data} has no ipykernel and jupyter_client")

    def _hear(self) -> str | None:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return None if not line else str(json.loads(line))

    def attempt(self, trial: Trial) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        code = f"{trial.challenge.a} * {trial.challenge.b}"
        self._process.stdin.write(json.dumps([self._what, code]) + "\n")
        self._process.stdin.flush()
        trial.text = self._hear() or ""
        trial.mark("answered")

    def verify(self, trial: Trial) -> None:
        if trial.text != str(trial.challenge.a * trial.challenge.b):
            raise ValueError(f"got {trial.text!r}")

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(timeout=20)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None


def cells(settings: Settings) -> list[Case]:
    """A cell where its variables are."""
    cases: list[Case] = [Cell(settings, one, CELL) for one in having(settings, "code")]
    return cases + ([Jupyter(settings, CELL, "warm")] if settings.baselines else [])


def contexts(settings: Settings) -> list[Case]:
    """A new context up to its first result."""
    having_code = having(settings, "code")
    cases: list[Case] = [Context(settings, one) for one in having_code]
    cases += [Context(settings, one, prepared=True) for one in having_code]
    kernel = Jupyter(settings, CONTEXT, "start")
    kernel.every = 3
    return cases + ([kernel] if settings.baselines else [])


def having(settings: Settings, capability: str) -> list[str]:
    """The profiles whose providers declare a capability."""
    return [
        profile
        for profile in settings.profiles
        if provider_info(provider_of(profile)).capabilities.flags()[capability]
    ]


class Taking(KitLive):
    """A snapshot of a sandbox with a little file."""

    def attempt(self, trial: Trial) -> None:
        trial.kept["snapshot"] = self.sandbox.snapshot()
        trial.mark("answered")

    def verify(self, trial: Trial) -> None:
        taken: Snapshot = trial.kept["snapshot"]
        if taken.address not in {one.address for one in Sandbox.snapshots(self.profile)}:
            raise Fault("verify", "the snapshot is not in the list")

    def tidy(self, trial: Trial) -> None:
        taken: Snapshot | None = trial.kept.get("snapshot")
        if taken is not None:
            taken.delete()


class Forking(KitLive):
    """A fork, and a command in it that needs the file that its source had."""

    def attempt(self, trial: Trial) -> None:
        (copy,) = trial.kept["forks"] = self.sandbox.fork(1)
        trial.mark("allocated")
        result = copy.run(trial.challenge.shell(), timeout=trial.limit)
        trial.mark("answered")
        trial.text = result.stdout

    def tidy(self, trial: Trial) -> None:
        for copy in trial.kept.get("forks", ()):
            end(copy)


class Pausing(KitLive):
    """A pause, its end, and a command afterwards."""

    def attempt(self, trial: Trial) -> None:
        self.sandbox.pause()
        trial.mark("allocated")
        self.sandbox.resume()
        trial.mark("exec_sent")
        result = self.sandbox.run(trial.challenge.shell(), timeout=trial.limit)
        trial.mark("answered")
        trial.text = result.stdout


def states(settings: Settings) -> list[Case]:
    """What keeps, doubles or stops a whole sandbox."""
    cases: list[Case] = [Taking(settings, one, SNAPSHOT) for one in having(settings, "snapshots")]
    for one in having(settings, "fork"):
        forking = Forking(settings, one, FORK)
        forking.start_class = "restored"
        cases.append(forking)
    return cases + [Pausing(settings, one, PAUSE) for one in having(settings, "pause")]
