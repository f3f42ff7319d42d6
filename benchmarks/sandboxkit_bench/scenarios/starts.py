"""From nothing to the answer of a program: bare, with libraries, from a snapshot."""

from __future__ import annotations

import time
from dataclasses import replace

from sandboxkit import Sandbox

from ..case import Case
from ..challenge import Answer
from ..contenders.bwrap import Bubblewrap
from ..contenders.docker_api import ApiStart
from ..contenders.docker_cli import DockerRun
from ..contenders.host import HostPython
from ..contenders.kit import KitStart, inside_of
from ..contenders.oci import Runtime
from ..contenders.peers.cases import peer_starts
from ..scenario import Ran
from ..settings import Settings
from ..trial import Fault, Trial

__all__ = [
    "READY",
    "RESTORE",
    "START",
    "START_USEFUL",
    "TEARDOWN",
    "bare",
    "ready",
    "restored",
    "useful",
]

START = "create to answer"
START_USEFUL = "create to answer, numpy and pandas"
TEARDOWN = "kill, confirmed"
READY = "create to the end of a command"
RESTORE = "create from snapshot to answer"


class Ready(KitStart):
    """A command directly after `create`, and the same once more when no clock runs.

    If the first takes far longer, `create` returned before there was anything to use.
    """

    def __init__(self, settings: Settings, profile: str) -> None:
        super().__init__(settings, profile, READY)
        self.end = "exit_known"

    def attempt(self, trial: Trial) -> None:
        sandbox = trial.kept["sandbox"] = Sandbox.create(**self.arguments)
        trial.mark("allocated")
        trial.mark("exec_sent")
        trial.text = sandbox.run(self.command(trial), timeout=trial.limit).stdout
        trial.mark("exit_known")

    def command(self, trial: Trial) -> list[str]:
        return ["sh", "-c", f"echo $(({trial.challenge.a} + {trial.challenge.b}))"]

    def verify(self, trial: Trial) -> None:
        began = time.perf_counter()
        again = trial.kept["sandbox"].run(self.command(trial), timeout=trial.limit).stdout
        trial.extra["again"] = time.perf_counter() - began
        for text in (trial.text, again):
            if text.strip() != str(trial.challenge.a + trial.challenge.b):
                raise Fault("verify", f"got {text[:80]!r}")
        inside = inside_of(trial.kept["sandbox"], f"{self.settings.token}-{trial.number}")
        self.judge(trial, Answer("", 0), inside)


def ready(settings: Settings) -> list[Case]:
    """Up to the first command of a shell."""
    return [Ready(settings, profile) for profile in settings.profiles]


def forked(profile: str) -> str:
    """The name of a profile's contender that takes nothing that stood ready."""
    return f"sandboxkit {profile} (forked)"


def ours(settings: Settings, scenario: str, *, useful: bool = False) -> list[Case]:
    """Every profile as its users have it; and with nothing ready, where something may be."""
    cases: list[Case] = []
    for profile in settings.profiles:
        case = KitStart(settings, profile, scenario, useful=useful, pooled=True)
        cases.append(case)
        if case.start_class == "pooled":
            fresh = KitStart(settings, profile, scenario, useful=useful)
            fresh.contender = forked(profile)
            cases.append(fresh)
    return cases


def bare(settings: Settings) -> list[Case]:
    """``print(1 + 1)``."""
    cases = ours(settings, START)
    first = settings.profiles[0]
    cases.append(KitStart(settings, first, START, how="python3 -c"))
    # The same once more: what a ratio is where there is no difference.
    same = KitStart(settings, first, START, pooled=True)
    same.contender = f"sandboxkit {first} (A/A)"
    cases.append(same)
    if settings.baselines:
        cases += [
            HostPython(settings, START),
            Bubblewrap(settings, START),
            Runtime(settings, START, "runc"),
            Runtime(settings, START, "crun"),
            DockerRun(settings, START),
            ApiStart(settings, START),
            *peer_starts(settings, START),
        ]
    return cases


def teardown(ran: Ran) -> Ran:
    """The ends of the sandboxes of a scenario, whose moments its samples hold already."""
    ends = Ran()
    for sample in ran.samples:
        marks = sample.marks
        if sample.failure or "destroy_confirmed" not in marks:
            continue
        length = marks["destroy_confirmed"] - marks["destroy_called"]
        gone: dict[str, float] = {}
        if "resources_gone" in marks:
            gone["gone"] = round(marks["resources_gone"] - marks["destroy_called"], 7)
        ends.samples.append(
            replace(sample, scenario=TEARDOWN, value=round(length, 7), marks={}, extra=gone)
        )
    told = {one.contender for one in ends.samples}
    ends.cases = [
        replace(case, scenario=TEARDOWN, start_class="live")
        for case in ran.cases
        if case.contender in told
    ]
    ends.samples = [replace(one, start_class="live") for one in ends.samples]
    return ends


def useful(settings: Settings) -> list[Case]:
    """The same with numpy and pandas ready for use."""
    if settings.data is None:
        return []
    cases = ours(settings, START_USEFUL, useful=True)
    if settings.baselines:
        cases += [
            HostPython(settings, START_USEFUL, useful=True),
            Bubblewrap(settings, START_USEFUL, useful=True),
        ]
    return cases


class Restored(KitStart):
    """From a snapshot that holds a file, whose content must be there."""

    def __init__(self, settings: Settings, profile: str) -> None:
        super().__init__(settings, profile, RESTORE)
        self.start_class = "restored"
        self._snapshot = ""

    def prepare(self) -> None:
        super().prepare()
        assert self._keeper is not None
        self._keeper.files.write("kept.txt", self.settings.token)
        taken = self._keeper.snapshot()
        self._snapshot = taken.address
        self.arguments.pop("image", None)
        self.arguments["snapshot"] = taken.address

    def verify(self, trial: Trial) -> None:
        super().verify(trial)
        found = trial.kept["sandbox"].files.read_text("kept.txt")
        if found != self.settings.token:
            raise ValueError("the snapshot's file is not there")

    def close(self) -> None:
        super().close()
        for snapshot in Sandbox.snapshots(self.profile) if self._snapshot else ():
            if snapshot.address == self._snapshot:
                snapshot.delete()
        self._snapshot = ""


def restored(settings: Settings) -> list[Case]:
    """From a snapshot."""
    return [Restored(settings, profile) for profile in settings.profiles]
