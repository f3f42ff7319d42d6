"""The first process of the container that puts directories of the host into one sandbox.

Its orders are one line of JSON on standard input, as a sandbox's are. The directories are bound
into this container by the engine, and this container is in the sandbox's pid namespace, whose first
process waits meanwhile. It answers with one line and ends.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import Any, Dict, Iterator, List, NoReturn, Tuple

from . import kernel_mounts
from .kernel_mounts import NODEV, NOSUID, RDONLY
from .orders import read_orders, say

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
"""File systems that are the kernel's own: through a /proc of the host, one with the same number as
a user there reaches that user's processes."""
_OCTAL = re.compile(r"\\([0-7]{3})")
_UNMAPPABLE = (errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP)
_CLOSED = ("/dev", "/proc", "/sys")


class _RefusedError(Exception):
    """A mount cannot be; the message says why."""

    def __init__(self, message: str, capability: str = "") -> None:
        super().__init__("mounts: " + message)
        self.capability = capability


def main() -> NoReturn:
    """Mount, and end."""
    orders = read_orders()
    mounts: List[Dict[str, Any]] = orders["mounts"]
    try:
        trees = [
            _tree("%s/%d" % (sys.argv[1], number), mount, orders["user"])
            for number, mount in enumerate(mounts)
        ]
        kernel_mounts.enter_mounts_of(1)
        for tree, mount in zip(trees, mounts):
            _attach(tree, mount["target"])
    except _RefusedError as error:
        say({"event": "failed", "message": str(error), "capability": error.capability})
    except OSError as error:
        message = "mounts: this engine's machine does not let them be made: %s" % error
        say({"event": "failed", "message": message, "capability": "mounts"})
    else:
        say({"event": "ready"})
    os._exit(0)


def _tree(place: str, mount: Dict[str, Any], user: List[int]) -> int:
    """A detached mount of a directory, as the sandbox shall have it."""
    directory = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    found = os.fstat(directory)
    if [found.st_dev, found.st_ino] != mount["identity"]:
        raise _RefusedError(
            "the engine has another directory at %r: it does not see this machine's files"
            % mount["source"],
            "mounts",
        )
    for point, kind in _mounted():
        if kind in _KERNELS and (point == place or point.startswith(place + "/")):
            raise _RefusedError(
                "the source %r contains %r, where the kernel shows itself (%s); name a directory "
                "without it" % (mount["source"], mount["source"] + point[len(place) :], kind)
            )
    tree = kernel_mounts.open_tree(directory)
    os.close(directory)
    kernel_mounts.set_attributes(tree, NOSUID | NODEV | (RDONLY if mount["read_only"] else 0))
    _show_as(tree, mount, user)
    return tree


def _show_as(tree: int, mount: Dict[str, Any], user: List[int]) -> None:
    """Let the sandbox's user be, within the mount, who its owner is outside; all others nobody."""
    owner = mount["owner"]
    with kernel_mounts.one_user((owner[0], user[0]), (owner[1], user[1])) as userns:
        for recursive in (True, False):  # what is mounted below may not be able to
            try:
                kernel_mounts.set_attributes(tree, 0, userns, recursive)
            except OSError as error:
                if error.errno not in _UNMAPPABLE:
                    raise
            else:
                return
    # As it is, files of root would be open to root of the sandbox.
    raise _RefusedError(
        "the file system of %r cannot show another owner of its files" % mount["source"], "mounts"
    )


def _attach(tree: int, target: str) -> None:
    real = os.path.realpath(target)
    if any(real == top or real.startswith(top + "/") for top in _CLOSED) or real == "/":
        raise _RefusedError("the target %r leads to %r in this image" % (target, real))
    try:
        directory = os.open(real, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _RefusedError("the target %r: %s" % (target, error.strerror)) from None
    kernel_mounts.move_mount(tree, directory)
    os.close(directory)


def _mounted() -> Iterator[Tuple[str, str]]:
    """Each mount point here, and what kind of file system it is."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            point = _OCTAL.sub(lambda found: chr(int(found.group(1), 8)), fields.split(" ")[4])
            yield point, rest.split(" ")[0]
