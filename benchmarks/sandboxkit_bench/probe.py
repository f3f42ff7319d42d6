"""What is seen of a sandbox, from inside and from outside: never while a clock runs."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from .contenders.program import readable
from .trial import Fault

__all__ = ["KINDS", "Inside", "living", "own", "survivors", "wait_until_gone"]

KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")

SCRIPT = (
    'for n in cgroup ipc mnt net pid user uts; do echo "$n $(readlink /proc/self/ns/$n)"; done; '
    'echo "boot $(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"; '
    'echo "kernel $(uname -r)"; '
    'read -r first < /proc/1/stat && echo "first $first"; '
    'for f in /tmp/bench-seen "$HOME/bench-seen"; do '
    '[ -e "$f" ] && echo "seen $(cat "$f")"; echo {token} > "$f" 2>/dev/null; done; true'
)
"""Says where it runs, whether an earlier one was here, and leaves a mark for the next."""


@dataclass(frozen=True)
class Inside:
    """What one command saw.

    Attributes:
        namespaces: by kind, as the kernel names them.
        boot: the kernel's id of this boot.
        kernel: its release.
        born: when its first process was started, in seconds since the machine was; ``None`` if it
            does not tell.
        seen: marks of earlier ones.
    """

    namespaces: dict[str, str] = field(default_factory=dict)
    boot: str = ""
    kernel: str = ""
    born: float | None = None
    seen: tuple[str, ...] = ()

    @classmethod
    def read(cls, output: str) -> Inside:
        words = [line.split(" ", 1) for line in output.splitlines() if " " in line]
        told = {name: value.strip() for name, value in words if name != "seen"}
        spaces = {kind: told[kind] for kind in KINDS if told.get(kind)}
        seen = tuple(value for name, value in words if name == "seen")
        born = birth(told["first"]) if "first" in told else None
        return cls(spaces, told.get("boot", ""), told.get("kernel", ""), born, seen)

    def differs(self) -> tuple[str, ...]:
        """The kinds of namespaces that are not this process's."""
        ours = own().namespaces
        return tuple(kind for kind, name in self.namespaces.items() if name != ours.get(kind))

    def says(self) -> str:
        """In words."""
        if self.kernel != os.uname().release or (self.boot and self.boot != own().boot):
            return f"another kernel ({self.kernel})"
        differs = self.differs()
        return f"own {', '.join(differs)}" if differs else "nothing of its own"


def birth(stat: str) -> float:
    """When a process was started, by its line of ``/proc/PID/stat``: proc(5), field 22."""
    return int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def check_new(inside: Inside, call: int) -> None:
    """Raise Fault if a sandbox is older than the call that is said to have made it.

    Args:
        inside: what a command in it saw.
        call: the moment of the call, in nanoseconds of the monotonic clock.
    """
    old = age(inside, call)
    if old is not None and old > TICKS:
        raise Fault("reuse", f"it was started {old:.2f} s before it was asked for")


def age(inside: Inside, call: int) -> float | None:
    """How many seconds before a call a sandbox was started; ``None`` if that cannot be known.

    Args:
        inside: what a command in it saw.
        call: the moment of the call, in nanoseconds of the monotonic clock.
    """
    if inside.born is None or inside.boot != own().boot or "pid" not in inside.differs():
        return None
    since = time.clock_gettime(time.CLOCK_BOOTTIME) - (time.monotonic_ns() - call) / 1e9
    return since - inside.born


TICKS = 0.03
"""How far a time in ticks of the kernel may be off, in seconds."""


def script(token: str) -> str:
    """The shell command whose output `Inside.read` reads."""
    return SCRIPT.replace("{token}", token)


def own() -> Inside:
    """What this process sees."""
    spaces = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS}
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return Inside(spaces, boot, os.uname().release)


def check_isolation(inside: Inside, declared: str, answered_in: str = "") -> None:
    """Hold what was seen against what is declared.

    Args:
        inside: what a later command saw.
        declared: the isolation class.
        answered_in: the mount namespace that the answer came from, if it told.

    Raises:
        Fault: it ran on this machine as it is, or not where later commands run.
    """
    if declared in ("none", "language"):
        return
    if answered_in and answered_in != inside.namespaces.get("mnt"):
        raise Fault("isolation", "the answer came from another place than the sandbox")
    if inside.says() == "nothing of its own":
        raise Fault("isolation", f"{declared} is declared, and it ran on this machine as it is")
    if inside.seen:
        raise Fault("reuse", f"an earlier attempt was here: {inside.seen[0][:40]}")


def members(pid_namespace: str) -> list[int]:
    """The processes of this machine that are in a pid namespace."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if os.readlink(f"{entry.path}/ns/pid") == pid_namespace:
                    found.append(int(entry.name))
            except OSError:
                continue  # it has just ended, or is not ours to look at
    return found


def survivors(inside: Inside) -> list[int]:
    """Descriptors of the processes that are left of a sandbox; none where they cannot be seen."""
    space = inside.namespaces.get("pid", "")
    if not space or "pid" not in inside.differs():
        return []
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    opened = []
    for pid in members(space):
        try:
            # The kernel gives a namespace's number to the next one: to a sandbox made meanwhile.
            if born(pid) <= now:
                opened.append(os.pidfd_open(pid))
        except (ProcessLookupError, FileNotFoundError):
            continue
    return opened


def born(pid: int) -> float:
    """When a process was started, in seconds since the machine was."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def living(pid_namespaces: set[str], seconds: float) -> set[str]:
    """Those of these namespaces in which there still are processes, after `seconds` at most."""
    found: dict[int, str] = {}
    for space in pid_namespaces - {"", own().namespaces["pid"]}:
        for pid in members(space):
            try:
                found[os.pidfd_open(pid)] = space
            except ProcessLookupError:
                continue
    deadline = time.monotonic() + seconds
    try:
        for descriptor in list(found):
            if readable(descriptor, deadline - time.monotonic()):
                os.close(descriptor)
                del found[descriptor]
        return set(found.values())
    finally:
        for descriptor in found:
            os.close(descriptor)


def wait_until_gone(inside: Inside, seconds: float) -> None:
    """Wait for the last process of a sandbox that was confirmed to be destroyed.

    Raises:
        Fault: some are still there after `seconds`.
    """
    left = survivors(inside)
    deadline = time.monotonic() + seconds
    try:
        for descriptor in left:
            if not readable(descriptor, deadline - time.monotonic()):
                raise Fault("leak", "processes outlived the confirmed end of their sandbox")
    finally:
        for descriptor in left:
            os.close(descriptor)
