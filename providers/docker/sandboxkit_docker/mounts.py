"""Directories of this machine in a sandbox, each with the sandbox's user in its owner's stead.

An engine binds directories as they are, with the numbers of their owners. So a second container, of
ours alone, makes mounts that show another owner, and puts them into the sandbox before anything
runs in it. They are in no other place than there, and so gone when it is.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sandboxkit.errors import InvalidRequestError, UnsupportedError
from sandboxkit.provider import CreateRequest, HostMount

from . import container, nothing, places, records
from .engine import Engine
from .launch import launch
from .settings import DockerSettings
from .shielded import finished

__all__ = ["Mounter", "are_possible", "check", "targets"]

_MOST = 32
_SINCE = (5, 12)  # the kernel's version from which on a mount can show another owner
# What it is to be allowed: to mount, into another's namespace, which it opens as a debugger would,
# to write down which number stands for which, and to find a target in another mount.
_RIGHTS = ("SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE", "SETUID", "SETGID", "DAC_READ_SEARCH")
_MEMORY = 128 << 20
_PIDS = 16


def are_possible(engine: Engine, info: Mapping[str, Any]) -> bool:
    """Whether an engine sees this machine's directories, and can show another owner of them.

    Args:
        engine: which.
        info: what it says of itself.
    """
    release = re.match(r"(\d+)\.(\d+)", str(info.get("KernelVersion", "")))
    modern = release is not None and (int(release[1]), int(release[2])) >= _SINCE
    # There uid 0 is somebody else, who may do nothing of this.
    remapped = any(
        option.startswith(("name=rootless", "name=userns"))
        for option in info.get("SecurityOptions") or ()
    )
    elsewhere = info.get("OperatingSystem") == "Docker Desktop"
    return engine.is_local and modern and not remapped and not elsewhere


def check(request: CreateRequest, settings: DockerSettings) -> None:
    """Refuse what cannot be mounted, before anything is made.

    Raises:
        InvalidRequestError: there are too many, or one may not be written to as its owner.
        UnsupportedError: the runtime gives each sandbox a kernel of its own.
    """
    if len(request.mounts) > _MOST:
        raise InvalidRequestError(f"mounts: at most {_MOST}, not {len(request.mounts)}")
    runtime = container.runtime_of(request, settings)
    if request.mounts and container.isolation_of(runtime) != "container":
        raise UnsupportedError(
            f"with the runtime {runtime!r} a sandbox is shown no directories of this machine",
            capability="mounts",
            provider="docker",
        )
    for mount in request.mounts:
        _wanted(mount)


def targets(request: CreateRequest) -> Sequence[str]:
    """Where mounts appear, those within others after them."""
    return [mount.target for mount in request.mounts]


class Mounter:
    """Puts directories into a sandbox that has begun and not settled in yet.

    Args:
        engine: where.
        request: what is to be shown.
        volume: the one with the guest, which has the program that mounts too.

    Raises:
        InvalidRequestError: a directory is not there any more.
    """

    def __init__(self, engine: Engine, request: CreateRequest, volume: str) -> None:
        self._engine = engine
        self._request = request
        self._volume = volume
        self._wanted = [_wanted(mount) for mount in request.mounts]

    async def put(self, container_id: str, user: Mapping[str, Any]) -> None:
        """Return when all of them are there.

        Args:
            container_id: the sandbox's.
            user: what its first process says of whom commands run as.

        Raises:
            InvalidRequestError: one cannot be shown.
            UnsupportedError: its file system cannot show another owner.
        """
        token = records.token(self._request.nonce)
        name = f"sandboxkit-mounts-{token}-{secrets.token_hex(4)}"
        config = self._configuration(container_id)
        helper = await nothing.create(self._engine, name, config, self._engine.remove)

        async def orders() -> Mapping[str, Any]:
            return {"mounts": self._wanted, "user": [int(user["uid"]), int(user["gid"])]}

        try:
            await launch(self._engine, helper, orders)
        finally:
            await finished(self._engine.remove(helper))

    def _configuration(self, container_id: str) -> dict[str, Any]:
        sources = [
            {
                "Type": "bind",
                "Source": mount.source,
                "Target": f"{places.SOURCES}/{number}",
                "BindOptions": {"Propagation": "rprivate"},
            }
            for number, mount in enumerate(self._request.mounts)
        ]
        return {
            "Image": nothing.IMAGE,
            "Entrypoint": places.MOUNTER,
            "Cmd": [],
            "User": "0:0",
            "Labels": records.helper_labels(self._request, "mounts"),
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "HostConfig": {
                "AutoRemove": True,
                "Mounts": [container.guest_mount(self._volume), *sources],
                "NetworkMode": "none",
                # So it sees the sandbox's first process, and none of the machine's.
                "PidMode": f"container:{container_id}",
                "CapDrop": ["ALL"],
                "CapAdd": list(_RIGHTS),
                "SecurityOpt": [
                    "no-new-privileges",
                    "seccomp=unconfined",
                    "apparmor=unconfined",
                    "label=disable",
                ],
                "PidsLimit": _PIDS,
                "Memory": _MEMORY,
                "MemorySwap": _MEMORY,
                "LogConfig": {"Type": "none"},
                "RestartPolicy": {"Name": "no"},
            },
        }


def _wanted(mount: HostMount) -> dict[str, Any]:
    """One mount as the program is told of it.

    Whoever asks for it is who a sandbox's user is there; for root, who must not be, it is the
    directory's owner.
    """
    try:
        found = os.stat(mount.source)
    except OSError as error:
        reason = f"the source {mount.source!r}: {error.strerror}"
        raise InvalidRequestError(f"mounts: {reason}") from None
    owner = [os.getuid(), os.getgid()]
    if owner[0] == 0:
        owner = [found.st_uid, found.st_gid]
    if not mount.read_only and 0 in owner:
        raise InvalidRequestError(
            f"mounts: the source {mount.source!r} belongs to root or root's group, as whom no "
            "sandbox may write; mount it read-only, or give it to another user",
            hint=f"chown -R 1000:1000 {mount.source}",
        )
    return {
        "source": mount.source,
        "target": mount.target,
        "read_only": mount.read_only,
        "owner": owner,
        # What is seen here; an engine may turn out to be another machine's.
        "identity": [found.st_dev, found.st_ino],
    }
