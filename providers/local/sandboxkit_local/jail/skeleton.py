"""The few directories and files that every sandbox finds: the lowest layer of its root."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Skeleton", "above_foreign_root", "plan"]

_DIRECTORIES = {
    "/dev": 0o755,
    "/etc": 0o755,
    "/home": 0o755,
    "/home/user": 0o755,
    "/mnt": 0o755,
    "/opt": 0o755,
    "/proc": 0o555,
    "/root": 0o700,
    "/run": 0o755,
    "/srv": 0o755,
    "/tmp": 0o1777,
    "/var": 0o755,
    "/var/log": 0o755,
    "/var/tmp": 0o1777,
}
_PASSWD = """root:x:0:0:root:/root:/bin/bash
user:x:1000:1000:user:/home/user:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = """root:x:0:
tty:x:5:
user:x:1000:
nogroup:x:65534:
"""
_HOSTS = "127.0.0.1 localhost sandbox\n::1 localhost sandbox ip6-localhost ip6-loopback\n"
_NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
_PROFILE = 'PS1="\\u@\\h:\\w\\$ "\n'
_COPIES = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d/*",
    "/etc/localtime",
    "/etc/debian_version",
    "/etc/os-release",
    "/etc/inputrc",
    "/etc/mime.types",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/openssl.cnf",
)


@dataclass
class Skeleton:
    """What to make.

    Attributes:
        directories: path to permission bits, parents first.
        files: path to content, the sandbox's own.
        copies: path to content taken from the host; one copy serves all sandboxes.
        links: path to target.
    """

    directories: dict[str, int] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    copies: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def make(self, root: str, owner: int, *, user: int) -> None:
        """Write it below `root`, an empty directory that only we can write to.

        Args:
            root: where.
            owner: the id that all but the home directory belongs to.
            user: the id that ``/home/user`` belongs to.
        """
        before = os.umask(0)
        try:
            for path, mode in self.directories.items():
                os.mkdir(root + path, mode)
                os.chown(root + path, *([user if path == "/home/user" else owner] * 2))
            for path, content in self.files.items():
                _write(root + path, content, owner)
            for path, target in self.links.items():
                os.symlink(target, root + path)
                os.lchown(root + path, owner, owner)
        finally:
            os.umask(before)

    def make_copies(self, root: str) -> None:
        """Write `copies` below `root`, owned by us, for a layer below all skeletons."""
        for path, content in self.copies.items():
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            _write(root + path, content, 0)


def _write(path: str, content: bytes, owner: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with open(fd, "wb") as file:
        file.write(content)
        os.fchown(fd, owner, owner)


def plan(mount_points: Iterable[str], links: dict[str, str], files: Iterable[str]) -> Skeleton:
    """The skeleton for a template, with what is copied from this host.

    Args:
        mount_points: directories that something will be mounted on.
        links: symbolic links, path to target.
        files: what to copy beside the usual of ``/etc``.
    """
    skeleton = Skeleton(dict(_DIRECTORIES), links=dict(links))
    for text, path in (
        (_PASSWD, "/etc/passwd"),
        (_GROUP, "/etc/group"),
        (_HOSTS, "/etc/hosts"),
        ("sandbox\n", "/etc/hostname"),
        (_NSSWITCH, "/etc/nsswitch.conf"),
        ("", "/etc/resolv.conf"),
        (_PROFILE, "/etc/bash.bashrc"),
    ):
        skeleton.files[path] = text.encode()
    found = [path for pattern in _COPIES for path in glob.glob(pattern) if os.path.isfile(path)]
    for path in (*found, *files):
        _parents(skeleton, path)
        with open(path, "rb") as file:
            skeleton.copies[path] = file.read()
    skeleton.links["/etc/mtab"] = "/proc/self/mounts"
    for path in links:
        _parents(skeleton, path)
    for path in mount_points:
        _parents(skeleton, path)
        skeleton.directories.setdefault(path, 0o755)
    if any(path.startswith("/root/") for path in skeleton.directories):
        skeleton.directories["/root"] = 0o711  # else no other user reaches what is below
    return skeleton


def above_foreign_root() -> Skeleton:
    """What covers, or adds to, the files of a root that is not made of this host's."""
    files = {"/etc/hosts": _HOSTS, "/etc/hostname": "sandbox\n", "/etc/resolv.conf": ""}
    return Skeleton(
        {
            name: _DIRECTORIES[name]
            for name in ("/dev", "/etc", "/home", "/home/user", "/proc", "/tmp")
        },
        {path: text.encode() for path, text in files.items()},
        links={"/etc/mtab": "/proc/self/mounts"},
    )


def _parents(skeleton: Skeleton, path: str) -> None:
    parts = path.split("/")[1:-1]
    for count in range(1, len(parts) + 1):
        skeleton.directories.setdefault("/" + "/".join(parts[:count]), 0o755)
