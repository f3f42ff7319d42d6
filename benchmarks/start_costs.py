"""What a sandbox of the local provider costs: processor time, page faults and switches, by process.

Counted, not timed, so that it says something on a machine that is busy with other work as well.

    .venv/bin/python benchmarks/start_costs.py [--cycles 40] [--ready] [--command] [--json]

Needs root and a tree of control groups of version 2, by which it finds a sandbox's processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandboxkit import Sandbox
from sandboxkit_local import paths

TREE = Path("/sys/fs/cgroup/unified")


@dataclass(frozen=True)
class Spent:
    """What a process has used so far: milliseconds of a processor, page faults, switches."""

    cpu: float = 0.0
    faults: int = 0
    switches: int = 0

    def since(self, before: Spent) -> Spent:
        """What was used after another reading."""
        return Spent(
            self.cpu - before.cpu, self.faults - before.faults, self.switches - before.switches
        )

    @classmethod
    def here(cls) -> Spent:
        """Of this process, so that what it takes to read of the others is not in it."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(time.process_time() * 1e3, used.ru_minflt, used.ru_nvcsw + used.ru_nivcsw)

    @classmethod
    def of(cls, pid: int) -> Spent:
        """As the kernel counts; nothing of a process that has ended."""
        cpu = switches = faults = 0
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                cpu += int((task / "schedstat").read_text().split()[0])
                for line in (task / "status").read_text().splitlines():
                    if "ctxt_switches" in line:
                        switches += int(line.split()[1])
            faults = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])
        return cls(cpu / 1e6, faults, switches)


def titled(part: str) -> list[int]:
    """The processes of ours that are called this, the oldest first."""
    title = f"sandboxkit-{part}-{paths.locate().digest}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and title in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return sorted(found)


class Watch:
    """Reads what the processes behind a sandbox have used."""

    def __init__(self, keeper: Sandbox) -> None:
        self.group = next(TREE.glob(f"**/sandboxkit-{paths.locate().digest}"))
        first = self.members(keeper.id)[0]
        zygote = int(Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1])
        self.fixed = {"daemon": titled("daemon")[0], "zygote": zygote}

    def members(self, sandbox_id: str) -> list[int]:
        """The processes of a sandbox, its first one first."""
        text = (self.group / sandbox_id / "cgroup.procs").read_text()
        return sorted(int(line) for line in text.split())

    def read(self, sandbox_id: str = "") -> dict[str, Spent]:
        """Everything now, and what all sandboxes and zygotes have used together."""
        read = {name: Spent.of(pid) for name, pid in self.fixed.items()}
        if sandbox_id:
            members = self.members(sandbox_id)
            read["first process"] = Spent.of(members[0])
            spent = [Spent.of(pid) for pid in members[1:]]
            read["interpreter"] = Spent(
                sum(one.cpu for one in spent),
                sum(one.faults for one in spent),
                sum(one.switches for one in spent),
            )
        line = (self.group / "cpu.stat").read_text().splitlines()[0]
        read["all below the daemon"] = Spent(int(line.split()[1]) / 1e3)
        return read

    def waiting(self) -> str:
        """The sandbox that stands ready, if there is one."""
        known = {one.id for one in Sandbox.list("local")}
        return next(
            (
                one.name
                for one in self.group.iterdir()
                if one.is_dir() and one.name != "zygotes" and one.name not in known
            ),
            "",
        )


Figures = dict[tuple[str, str], list[tuple[Spent, float]]]


def cycle(
    watch: Watch, work: Callable[[Sandbox], None], options: dict[str, Any], figures: Figures
) -> None:
    """One sandbox: adds, for each phase and process, what was used and how long the phase was."""
    sandbox: Sandbox | None = None

    def create() -> str:
        nonlocal sandbox
        sandbox = Sandbox.create("local", **options)
        return sandbox.id

    def use() -> str:
        assert sandbox is not None
        work(sandbox)
        return sandbox.id

    def kill() -> str:
        assert sandbox is not None
        sandbox.kill()
        return ""

    seen = "" if options else watch.waiting()
    for phase, act in (("create", create), ("work", use), ("kill", kill)):
        before, ours = watch.read(seen), Spent.here()
        began = time.perf_counter()
        seen = act()
        took = (time.perf_counter() - began) * 1e3
        figures[phase, "client"].append((Spent.here().since(ours), took))
        for name, spent in watch.read(seen).items():
            figures[phase, name].append((spent.since(before.get(name, Spent())), took))
    assert sandbox is not None
    sandbox.close()


def cell(sandbox: Sandbox) -> None:
    assert sandbox.run_code("print(1+1)").logs.stdout == "2\n"


def command(sandbox: Sandbox) -> None:
    assert sandbox.run(["echo", "2"]).stdout == "2\n"


def settle(watch: Watch, *, ready: bool) -> None:
    """Let what goes on in the background come to its end."""
    deadline = time.monotonic() + 1.0
    while ready and not watch.waiting() and time.monotonic() < deadline:
        time.sleep(0.01)  # nothing tells of it, as it is nobody's
    time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=40)
    parser.add_argument("--ready", action="store_true", help="take sandboxes that stand ready")
    parser.add_argument("--command", action="store_true", help="run a command, not a cell")
    parser.add_argument("--old", action="store_true", help="code that prepares none")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    options = {} if given.ready or given.old else {"provider_options": {"prepared": False}}
    figures: Figures = defaultdict(list)
    with Sandbox.create("local", **options) as keeper:
        watch = Watch(keeper)
        for number in range(given.cycles + 3):
            settle(watch, ready=given.ready)
            into: Figures = figures if number >= 3 else defaultdict(list)
            cycle(watch, command if given.command else cell, options, into)
    report(figures, as_json=given.json)


def report(figures: Figures, *, as_json: bool) -> None:
    """Medians, as a table for people or for programs."""
    rows = [
        {
            "phase": phase,
            "process": name,
            "ms": round(statistics.median(took for _, took in values), 2),
            "cpu": round(statistics.median(spent.cpu for spent, _ in values), 2),
            "faults": round(statistics.median(spent.faults for spent, _ in values)),
            "switches": round(statistics.median(spent.switches for spent, _ in values)),
        }
        for (phase, name), values in figures.items()
    ]
    if as_json:
        json.dump(rows, sys.stdout)
        return
    print("| phase | process | processor, ms | page faults | switches | phase took, ms |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print("| {phase} | {process} | {cpu} | {faults} | {switches} | {ms} |".format(**row))


if __name__ == "__main__":
    main()
