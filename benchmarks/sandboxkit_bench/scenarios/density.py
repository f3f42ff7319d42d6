"""The memory of a sandbox that does nothing: its own, and its share of what it has with others."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from sandboxkit import Sandbox, SandboxError

from ..contenders.docker_cli import docker
from ..contenders.kit import end, inside_of
from ..probe import members
from ..samples import CaseInfo, Finding, Missing, Sample
from ..scenario import Call, Ran
from ..settings import isolation_of
from ..trial import Fault

__all__ = ["DENSITY", "SHARED", "density"]

DENSITY = "private memory of an idle sandbox"
SHARED = "memory of an idle sandbox with its share of what is shared"
WHOLE = "memory that this machine has less, by sandbox"

COUNT, CONTAINERS = 50, 8


def rollup(pid: int) -> tuple[int, int]:
    """A process's private and proportional memory, in bytes: proc_pid_smaps(5)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = {
        name: int(size) << 10
        for name, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)
    }
    return sizes["Private_Clean"] + sizes["Private_Dirty"], sizes["Pss"]


def of_all(pids: list[int]) -> tuple[int, int]:
    """The memory of several processes together."""
    private = shared = 0
    for pid in pids:
        one, other = rollup(pid)
        private, shared = private + one, shared + other
    return private, shared


def available() -> int:
    """Memory that this machine could still give, in bytes."""
    text = Path("/proc/meminfo").read_text()
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10


class Weighing:
    """Takes down what sandboxes of one contender weigh."""

    def __init__(self, call: Call, contender: str, isolation: str, start: str) -> None:
        self._call, self._contender = call, contender
        self._isolation, self._start = isolation, start
        self.ran = Ran()

    def add(self, scenario: str, number: int, value: float) -> None:
        self.ran.samples.append(
            Sample(
                scenario, self._contender, self._start, self._isolation, number, value,
                at=round(time.monotonic() - self._call.began, 3),
            )
        )  # fmt: skip

    def done(self, note: str) -> Ran:
        for scenario in (DENSITY, SHARED, WHOLE):
            self.ran.cases.append(
                CaseInfo(
                    scenario, self._contender, self._start, self._isolation, unit="B", note=note
                )
            )
        return self.ran


def of_profile(call: Call, profile: str) -> Ran:
    """Sandboxes that have run one command each."""
    isolation = isolation_of(profile)
    start = "forked" if isolation == "namespaces" else "warm"
    weighing = Weighing(call, f"sandboxkit {profile}", isolation, start)
    made: list[Sandbox] = []
    spaces: list[str] = []
    try:
        # One that was prepared weighs more, by an interpreter.
        arguments = call.settings.create(profile, fresh=start == "forked")
        made.append(Sandbox.create(**arguments))
        before = available()
        for number in range(COUNT if start == "forked" else CONTAINERS):
            sandbox = Sandbox.create(**arguments)
            made.append(sandbox)
            spaces.append(inside_of(sandbox, call.settings.token).namespaces.get("pid", ""))
            call.tell(number / COUNT)
        weighing.add(WHOLE, 0, max(0.0, (before - available()) / len(spaces)))
        for number, space in enumerate(spaces):
            pids = [*members(space), *helpers_of(members(space), isolation)]
            if pids:
                private, shared = of_all(pids)
                weighing.add(DENSITY, number, private)
                weighing.add(SHARED, number, shared)
    finally:
        for sandbox in made:
            end(sandbox)
    return weighing.done(f"{len(spaces)} at once, each after one command")


def helpers_of(pids: list[int], isolation: str) -> list[int]:
    """The process outside that serves a container: the parent of its first one."""
    if isolation != "container" or not pids:
        return []
    parent = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
    return [parent] if parent > 1 and parent not in pids else []


def of_docker(call: Call) -> Ran:
    """Containers that sleep, with the process that serves each."""
    weighing = Weighing(call, "docker run, sleep", "container", "warm")
    label = f"sandboxkit-bench={call.settings.token}"
    words = ("run", "-d", "--network", "none", "--label", label, call.settings.image)
    made: list[str] = []
    try:
        before = available()
        for number in range(CONTAINERS):
            made.append(docker(*words, "sleep", "600"))
            call.tell(number / CONTAINERS)
        weighing.add(WHOLE, 0, max(0.0, (before - available()) / len(made)))
        for number, container in enumerate(made):
            first = int(docker("inspect", "-f", "{{.State.Pid}}", container))
            pids = members(os.readlink(f"/proc/{first}/ns/pid"))
            private, shared = of_all([*pids, *helpers_of([first], "container")])
            weighing.add(DENSITY, number, private)
            weighing.add(SHARED, number, shared)
    finally:
        if made:
            docker("rm", "-f", *made)
    return weighing.done("with its containerd-shim")


def density(call: Call) -> Ran:
    """Of every contender whose processes can be looked at from here."""
    ran = Ran()
    for profile in call.settings.profiles:
        try:
            ran.add(of_profile(call, profile))
        except (SandboxError, OSError) as error:
            ran.missing.append(Missing(f"{DENSITY}: sandboxkit {profile}", str(error)[:300]))
        except Fault as fault:
            ran.findings.append(Finding("leak", DENSITY, f"sandboxkit {profile}", str(fault)))
    if call.settings.baselines:
        try:
            ran.add(of_docker(call))
        except (OSError, Fault) as error:
            ran.missing.append(Missing(f"{DENSITY}: docker run", str(error)[:300]))
    return ran
