"""sandboxkit itself, through the interface that its users have."""

from __future__ import annotations

import random
import time
from typing import Any

from sandboxkit import AsyncSandbox, Sandbox, SandboxError

from ..case import Case
from ..challenge import KEY_FILE, Answer, Challenge, key
from ..probe import (
    TICKS,
    Inside,
    age,
    check_isolation,
    check_new,
    script,
    wait_until_gone,
)
from ..settings import Settings, isolation_of
from ..trial import Fault, Trial

__all__ = ["KitLive", "KitStart", "inside_of"]


PREPARING = 0.15
"""Seconds in which the next sandbox is made ready: not while another contender's clock runs."""

DRAW = """\
import os, random, sys, uuid
print(random.random(), uuid.uuid4(), os.urandom(8).hex())
if "numpy" in sys.modules:
    import numpy
    print(numpy.random.random())
"""
"""What no two sandboxes may answer alike, as two forks of one interpreter may."""


def inside_of(sandbox: Sandbox, token: str) -> Inside:
    """What a command in a sandbox sees."""
    return Inside.read(sandbox.run(script(token), timeout=20).check().stdout)


class KitStart(Case):
    """A sandbox from nothing to the answer of a program, and to its end.

    One sandbox is kept alive beside, as in a server: so the provider's client is connected.

    Attributes:
        patience: seconds that the processes of a destroyed sandbox have to be gone.

    Args:
        settings: of the run.
        profile: whose sandboxes.
        scenario: what for.
        how: a ``cell``, or the command that runs the program.
        useful: with numpy and pandas.
        pooled: let the provider hand out one that stood ready, if it has one; else it must make
            one from nothing, which is verified.
    """

    baseline = False
    patience = 2.0

    def __init__(
        self,
        settings: Settings,
        profile: str,
        scenario: str,
        *,
        how: str = "cell",
        useful: bool = False,
        pooled: bool = False,
    ) -> None:
        self.settings, self.profile, self.scenario = settings, profile, scenario
        self.how, self.useful = how, useful
        self.contender = f"sandboxkit {profile}" + ("" if how == "cell" else f" ({how})")
        self.isolation = isolation_of(profile)
        # Only a provider whose sandboxes are forked has these; others start everything anew.
        forks = self.isolation == "namespaces"
        self.start_class = ("pooled" if pooled else "forked") if forks else "warm"
        self.every = 1 if forks else 2
        self.arguments = settings.create(profile, useful=useful, fresh=self.start_class == "forked")
        self._keeper: Sandbox | None = None
        self._drawn: set[str] = set()

    def prepare(self) -> None:
        self._keeper = Sandbox.create(**self.arguments)

    def attempt(self, trial: Trial) -> None:
        sandbox = trial.kept["sandbox"] = Sandbox.create(**self.arguments)
        trial.mark("allocated")
        program = trial.challenge.python(useful=self.useful)
        trial.mark("exec_sent")
        if self.how == "cell":
            sandbox.run_code(program, on_stdout=trial.hear, timeout=trial.limit)
        else:
            command = ["python3", "-c", program]
            sandbox.run(command, on_stdout=trial.hear, timeout=trial.limit)
        trial.mark("exit_known")

    async def launch(self, trial: Trial) -> None:
        sandbox = trial.kept["async"] = await AsyncSandbox.create(**self.arguments)
        trial.mark("allocated")
        program = trial.challenge.python(useful=self.useful)
        trial.mark("exec_sent")
        # Callbacks need not be async; one that is spares the thread in which others are called.
        await sandbox.run_code(program, on_stdout=_hearing(trial), timeout=trial.limit)
        trial.mark("exit_known")

    def verify(self, trial: Trial) -> None:
        answer = trial.challenge.check_python(trial.text, useful=self.useful)
        trial.began(answer.clock)
        inside = inside_of(trial.kept["sandbox"], f"{self.settings.token}-{trial.number}")
        self.judge(trial, answer, inside)
        if self.how == "cell":
            drawn = trial.kept["sandbox"].run_code(DRAW, timeout=20).check().logs.stdout
            self.check_unlike(drawn)

    def check_unlike(self, drawn: str) -> None:
        """Raise Fault if an earlier sandbox drew one of these random numbers too."""
        numbers = drawn.split()
        if len(numbers) < 3:
            raise Fault("verify", f"random numbers were asked for, and {drawn[:60]!r} came")
        same = self._drawn.intersection(numbers)
        self._drawn.update(numbers)
        if same:
            raise Fault("twins", f"another sandbox drew {same.pop()} as well")

    def judge(self, trial: Trial, answer: Answer, inside: Inside) -> None:
        """Hold what a later command saw against the answer and what is declared."""
        trial.kept["inside"] = inside
        check_isolation(inside, self.isolation, answer.namespace)
        if self.start_class != "pooled":
            check_new(inside, trial.marks["call"])
        elif (old := age(inside, trial.marks["call"])) is not None:
            trial.extra["stood_ready"] = float(old > TICKS)
        self.probed = inside.says()

    def tidy(self, trial: Trial) -> None:
        sandbox = trial.kept.get("sandbox")
        if sandbox is None:
            return
        trial.mark("destroy_called")
        try:
            sandbox.kill()
            trial.mark("destroy_confirmed")
        finally:
            sandbox.close()
        if inside := trial.kept.get("inside"):
            wait_until_gone(inside, self.patience)
            trial.mark("resources_gone")
        if self.start_class == "pooled":
            time.sleep(PREPARING)

    async def destroy(self, trial: Trial) -> None:
        """Check and end what `launch` made."""
        sandbox: AsyncSandbox | None = trial.kept.get("async")
        if sandbox is None:
            return
        try:
            if "answered" in trial.marks:
                answer = trial.challenge.check_python(trial.text, useful=self.useful)
                trial.began(answer.clock)
                probe = script(f"{self.settings.token}-{trial.number}")
                seen = (await sandbox.run(probe, timeout=60)).check().stdout
                self.judge(trial, answer, Inside.read(seen))
        finally:
            trial.mark("destroy_called")
            await sandbox.kill()
            trial.mark("destroy_confirmed")
            await sandbox.close()

    def close(self) -> None:
        if self._keeper is not None:
            end(self._keeper)
            self._keeper = None


def _hearing(trial: Trial) -> Any:
    async def hear(text: str) -> None:
        trial.hear(text)

    return hear


def end(sandbox: Sandbox) -> None:
    """Kill a sandbox that may be gone already."""
    try:
        sandbox.kill()
    except SandboxError as error:
        raise Fault("leak", f"could not be killed: {error}") from error
    finally:
        sandbox.close()


class KitLive(Case):
    """Something in a sandbox that lives already. Subclasses say what."""

    start_class, baseline = "live", False

    def __init__(
        self, settings: Settings, profile: str, scenario: str, contender: str = ""
    ) -> None:
        self.settings, self.profile, self.scenario = settings, profile, scenario
        self.contender = contender or f"sandboxkit {profile}"
        self.isolation = isolation_of(profile)
        self.made: Sandbox | None = None
        self.key = key()

    @property
    def sandbox(self) -> Sandbox:
        if self.made is None:
            raise RuntimeError("not prepared")
        return self.made

    def prepare(self) -> None:
        self.made = Sandbox.create(**self.settings.create(self.profile))
        self.made.files.write(KEY_FILE, f"{self.key}\n")
        inside = inside_of(self.made, self.settings.token)
        check_isolation(inside, self.isolation)
        self.probed = inside.says()

    def verify(self, trial: Trial) -> None:
        trial.challenge.check_shell(trial.text, self.key)

    def close(self) -> None:
        if self.made is not None:
            end(self.made)
            self.made = None


def fresh() -> Challenge:
    """A task for what is not a trial."""
    return Challenge.new(random.Random())
