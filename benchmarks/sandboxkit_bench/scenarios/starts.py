"""From nothing to the answer of a program: bare, with libraries, from a snapshot."""

from __future__ import annotations

from sandboxkit import Sandbox

from ..case import Case
from ..contenders.bwrap import Bubblewrap
from ..contenders.docker_api import ApiStart
from ..contenders.docker_cli import DockerRun
from ..contenders.host import HostPython
from ..contenders.kit import KitStart
from ..contenders.oci import Runtime
from ..settings import Settings
from ..trial import Trial

__all__ = ["START", "START_USEFUL", "bare", "restored", "useful"]

START = "create to answer"
START_USEFUL = "create to answer, numpy and pandas"
RESTORE = "create from snapshot to answer"


def bare(settings: Settings) -> list[Case]:
    """``print(1 + 1)``."""
    cases: list[Case] = [KitStart(settings, profile, START) for profile in settings.profiles]
    cases += [KitStart(settings, settings.profiles[0], START, how="python3 -c")]
    if settings.baselines:
        cases += [
            HostPython(settings, START),
            Bubblewrap(settings, START),
            Runtime(settings, START, "runc"),
            Runtime(settings, START, "crun"),
            DockerRun(settings, START),
            ApiStart(settings, START),
        ]
    return cases


def useful(settings: Settings) -> list[Case]:
    """The same with numpy and pandas ready for use."""
    if settings.data is None:
        return []
    cases: list[Case] = [
        KitStart(settings, profile, START_USEFUL, useful=True) for profile in settings.profiles
    ]
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
