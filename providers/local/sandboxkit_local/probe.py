"""Trying, in a process of its own, what a zygote will need of the kernel."""

from __future__ import annotations

import json
import os
import sys

from .jail import seccomp, syscalls

__all__ = ["STEPS", "main"]

STEPS = ("user namespaces", "namespaces", "overlay", "proc", "seccomp")
"""In the order they are tried; what follows a failure is not tried."""

_ALL_BUT_USER = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWCGROUP
)


def main() -> int:
    """Print what worked: a JSON list with an empty string, or the reason, per step tried."""
    found: list[str] = []
    for step in (_user_namespace, _namespaces, _overlay, _proc, _seccomp):
        try:
            step()
        except OSError as error:
            found.append(error.strerror or str(error))
            break
        found.append("")
    json.dump(found, sys.stdout)
    return 0


def _user_namespace() -> None:
    user, group = os.getuid(), os.getgid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {user} 1"),
        ("gid_map", f"0 {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _namespaces() -> None:
    syscalls.unshare(_ALL_BUT_USER)
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)


def _overlay() -> None:
    syscalls.mount("tmpfs", "/tmp", "tmpfs", 0, "mode=0755,size=1m")
    for name in ("lower", "upper", "work", "root"):
        os.mkdir(f"/tmp/{name}")
    layers = "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work,userxattr"
    syscalls.mount("overlay", "/tmp/root", "overlay", 0, layers)


def _proc() -> None:
    pid = os.fork()
    if pid == 0:
        number = 0
        try:
            syscalls.mount("proc", "/tmp/root", "proc")
        except OSError as error:
            number = error.errno or 1
        finally:
            os._exit(number)
    number = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if number:
        raise OSError(number, f"mounting a fresh /proc: {os.strerror(abs(number))}")


def _seccomp() -> None:
    if not seccomp.supported():
        raise OSError(f"no filter is known for the architecture {os.uname().machine}")
    with open("/proc/sys/kernel/seccomp/actions_avail", encoding="ascii") as file:
        if "errno" not in file.read():
            raise OSError("the kernel cannot filter system calls")
