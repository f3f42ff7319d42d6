"""What the local provider needs of this system. Shown by ``sandboxkit doctor local``."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence

from sandboxkit.errors import ProviderUnavailableError
from sandboxkit.plugins import Check

from . import bootstrap, needs, paths, probe, start
from .jail import cgroup, freezer, idmap

__all__ = ["checks"]


def checks() -> Sequence[Check]:
    """Look at everything. Takes a twentieth of a second unless the daemon is running.

    Only what sandboxes cannot do without makes a check fail; what merely narrows what they can do
    is told with the command that would widen it.
    """
    if platform.system() != "Linux":
        return [Check("Linux", False, f"this is {platform.system()}", "use the docker provider")]
    return [
        Check("Linux", True, platform.release()),
        _runtime(),
        *_kernel(),
        _ids(),
        _cgroups(),
        _freezer(),
        _rules(),
    ]


def _runtime() -> Check:
    try:
        found = paths.locate()
    except ProviderUnavailableError as error:
        return Check("runtime directory", False, error.message, error.hint or "")
    return Check("runtime directory", True, str(found.runtime))


def _kernel() -> list[Check]:
    """What a zygote will do, tried; a daemon that runs has done it already."""
    try:
        start.connect(paths.locate(), start=False).close()
    except ProviderUnavailableError:
        tried = _probe()
    else:
        tried = [""] * len(probe.STEPS)
    found = []
    for step, problem in zip(probe.STEPS, tried, strict=False):
        fix = f"{_fix(step)}, {needs.INSTEAD}" if problem else ""
        found.append(Check(step, not problem, problem or "allowed", fix))
    return found


def _probe() -> list[str]:
    process = bootstrap.popen(
        sys.executable,
        "sandboxkit-probe",
        "sandboxkit_local.probe",
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    said, _ = process.communicate()
    try:
        found = json.loads(said)
    except ValueError:
        return [f"the probe ended with status {process.returncode}"]
    return [str(problem) for problem in found]


def _fix(step: str) -> str:
    if step == "overlay":
        return "modprobe overlay, on Linux 5.11 or later"
    if step == "proc":
        return "run outside of a container, or with an unmasked /proc"
    if step == "seccomp":
        return "use a kernel with CONFIG_SECCOMP_FILTER"
    return needs.namespace_fix()


def _ids() -> Check:
    name, ids = "ids", idmap.choose()
    if ids.kind == "root":
        return Check(name, True, "each sandbox has 65,536 ids of its own")
    if ids.kind == "subordinate":
        return Check(name, True, "sandboxes share this user's subordinate ids")
    detail = "only the user 'user' exists in sandboxes: "
    if not (shutil.which("newuidmap") and shutil.which("newgidmap")):
        return Check(name, True, detail + "there is no newuidmap", "apt-get install uidmap")
    fix = "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER"
    return Check(name, True, detail + "this user has no subordinate ids", fix)


def _cgroups() -> Check:
    groups = cgroup.detect()
    enforced = groups.controllers if groups is not None else frozenset()
    missing = {"cpu", "memory", "pids"} - enforced
    if not missing:
        return Check("limits", True, "cpu, memory and pids are enforced")
    detail = f"not enforced by control groups: {', '.join(sorted(missing))}"
    return Check("limits", True, detail, "run as root, with writable control groups")


def _freezer() -> Check:
    name = "pause"
    if freezer.detect() is not None:
        return Check(name, True, "sandboxes can be paused")
    detail = "sandboxes cannot be paused: no control groups of version 2 can be made"
    fix = "run as root, where /sys/fs/cgroup or a directory in it is a writable cgroup2"
    return Check(name, True, detail, fix)


def _rules() -> Check:
    """Rules of the network need no right; names need a resolver."""
    name = "network rules"
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
            servers = [words[1] for line in file if (words := line.split())[:1] == ["nameserver"]]
    except (OSError, IndexError):
        servers = []
    if servers:
        return Check(name, True, f"names are looked up by {', '.join(servers)}")
    detail = "only names in /etc/hosts lead anywhere: /etc/resolv.conf names no server"
    return Check(name, True, detail, "name one in /etc/resolv.conf")
