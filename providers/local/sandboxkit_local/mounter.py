"""A program of its own that makes detached mounts of the host's directories, for one sandbox.

The daemon has no rights over mounts where it is an ordinary user's, and must not wait for a file
system that hangs. So this opens the directories, in namespaces of its own unless it is root, and
hands the mounts over as descriptors.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
from collections.abc import Iterator
from typing import Any

from . import wire
from .jail import syscalls
from .jail.syscalls import MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY

__all__ = ["main"]

_KERNELS = frozenset(
    {
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "sysfs",
        "tracefs",
    }
)
"""File systems that are the kernel's own. Through a /proc of the host, a sandbox that shares an id
with a process there could reach into it."""

_OCTAL = re.compile(r"\\([0-7]{3})")
_UNMAPPABLE = {errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP}


class _RefusalError(Exception):
    """A mount cannot be; the message says why."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.fields = {"code": code, "message": message, "hint": hint, "capability": "mounts"}


def main(control_fd: int, daemon_pid: int) -> int:
    """Answer one request and end; the exit status.

    Args:
        control_fd: the socket to the daemon.
        daemon_pid: who must be our parent; else it is dead already.
    """
    syscalls.die_with_parent()
    if os.getppid() != daemon_pid:
        return 1
    control = socket.socket(fileno=control_fd)
    received = wire.receive(control)
    if received is None:
        return 1
    try:
        trees = list(_detached(received[0]))
    except _RefusalError as error:
        wire.send(control, error.fields)
    except OSError as error:
        message = f"this system does not let host directories be mounted: {error}"
        fields = _RefusalError("unsupported", message, "sandboxkit doctor local").fields
        wire.send(control, fields)
    else:
        wire.send(control, {"ok": True}, trees)
    return 0


def _detached(request: dict[str, Any]) -> Iterator[int]:
    if os.getuid() != 0:
        _own_namespaces()
    for mount in request["mounts"]:
        directory = _open(mount["source"])
        try:
            _refuse_kernels(mount["source"], directory)
            yield _tree(directory, mount, request["stand_in"])
        finally:
            os.close(directory)


def _own_namespaces() -> None:
    """Be allowed to mount, with no more rights over files than before."""
    user, group = os.getuid(), os.getgid()
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        _write(f"/proc/self/{name}", text)


def _open(source: str) -> int:
    try:
        return os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _RefusalError(
            "invalid_request", f"mounts: the source {source!r}: {error.strerror}"
        ) from None


def _refuse_kernels(source: str, directory: int) -> None:
    """Refuse a directory on, or with, a file system that is an interface of the kernel."""
    path = os.readlink(f"/proc/self/fd/{directory}").rstrip("/")
    with open(f"/proc/self/fdinfo/{directory}", encoding="ascii") as file:
        own = next(line.split()[1] for line in file if line.startswith("mnt_id:"))
    for number, point, kind in _mounts():
        if kind in _KERNELS and (number == own or point.startswith(path + "/")):
            raise _RefusalError(
                "invalid_request",
                f"mounts: the source {source!r} contains {point!r}, where the kernel shows itself "
                f"({kind}); name a directory without it",
            )


def _mounts() -> Iterator[tuple[str, str, str]]:
    """Each mount's number, mount point and file system."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            number, point = (fields.split(" ")[at] for at in (0, 4))
            plain = _OCTAL.sub(lambda found: chr(int(found[1], 8)), point)
            yield number, plain, rest.split(" ")[0]


def _tree(directory: int, mount: dict[str, Any], stand_in: list[int] | None) -> int:
    """A detached mount of a directory, as the sandbox shall have it."""
    attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
    if mount["read_only"]:
        attributes |= MOUNT_ATTR_RDONLY
    tree = syscalls.open_tree(directory)
    try:
        syscalls.set_tree_attributes(tree, attributes)
        if "first" in mount:
            _shift(tree, mount)
        elif stand_in is not None:
            _stand_in_for_owner(tree, directory, mount, stand_in)
    except BaseException:
        os.close(tree)
        raise
    return tree


def _shift(tree: int, mount: dict[str, Any]) -> None:
    """Let every owner be the id of the same number in a sandbox, whose own begin at `first`."""
    extent = (0, mount["first"], mount["count"])
    with _mapping(extent, extent) as id_map:
        try:
            syscalls.set_tree_attributes(tree, 0, id_map=id_map, recursive=False)
        except OSError as error:
            if error.errno not in _UNMAPPABLE:
                raise
            raise _RefusalError(
                "unsupported",
                f"template: the file system of {mount['source']!r} cannot show its owners as a "
                "sandbox's ids; make an archive of the directory, and name that",
                f"tar -C {mount['source']} -cf ROOT.tar .",
            ) from None


def _stand_in_for_owner(
    tree: int, directory: int, mount: dict[str, Any], stand_in: list[int]
) -> None:
    """Let the sandbox's user be, within the mount, the owner of the directory and its group."""
    owner = os.fstat(directory)
    source, writable = mount["source"], not mount["read_only"]
    if writable and 0 in (owner.st_uid, owner.st_gid):
        raise _RefusalError(
            "invalid_request",
            f"mounts: the source {source!r} belongs to root or root's group, as whom no sandbox "
            "may write; mount it read-only, or give it to another user",
            f"chown -R 1000:1000 {source}",
        )
    user, group = (owner.st_uid, stand_in[0], 1), (owner.st_gid, stand_in[1], 1)
    with _mapping(user, group) as id_map:
        for recursive in (True, False):  # what is mounted below may not be able to, or be already
            try:
                syscalls.set_tree_attributes(tree, 0, id_map=id_map, recursive=recursive)
            except OSError as error:
                if error.errno not in _UNMAPPABLE:
                    raise
            else:
                return
    if writable:
        raise _RefusalError(
            "unsupported",
            f"mounts: the file system of {source!r} cannot show another owner of its files, which "
            "a writable mount needs; mount it read-only",
        )


@contextlib.contextmanager
def _mapping(user: tuple[int, int, int], group: tuple[int, int, int]) -> Iterator[int]:
    """A descriptor of a user namespace with these ids: first inside, first outside, count."""
    ours, theirs = wire.pair()
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.die_with_parent()
            ours.close()
            syscalls.unshare(syscalls.CLONE_NEWUSER)
            wire.send(theirs, {})
            wire.receive(theirs)  # the end of file
        finally:
            os._exit(0)
    theirs.close()
    try:
        if wire.receive(ours) is None:
            raise OSError(errno.EPERM, "a user namespace could not be made")
        for name, (inside, outside, count) in (("uid_map", user), ("gid_map", group)):
            _write(f"/proc/{pid}/{name}", f"{inside} {outside} {count}")
        namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield namespace
        finally:
            os.close(namespace)
    finally:
        ours.close()
        os.waitpid(pid, 0)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
