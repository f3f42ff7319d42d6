"""Getting detached mounts of host directories for one sandbox."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sandboxkit.errors import InvalidRequestError, TransportError, UnsupportedError
from sandboxkit_local import bootstrap, codes, wire
from sandboxkit_local.jail.idmap import RANGE, IdMap
from sandboxkit_local.peer import Peer

from .waiting import outlast

__all__ = ["MOST", "check", "detached", "own_root", "stand_in"]

MOST = 16
"""Mounts of one sandbox; their descriptors travel in one message."""


def check(mounts: Sequence[Mapping[str, Any]], template: Mapping[str, Any]) -> None:
    """Refuse what would hide the template, or be hidden in it.

    Raises:
        InvalidRequestError: a target is in its way, or there are too many.
    """
    if len(mounts) > MOST:
        raise InvalidRequestError(f"mounts: at most {MOST} in one sandbox, not {len(mounts)}")
    needed = [*template["binds"], *template["links"], *template["files"], "/dev", "/proc", "/sys"]
    for mount in mounts:
        target = mount["target"]
        for path in needed:
            if f"{path}/".startswith(f"{target}/") or f"{target}/".startswith(f"{path}/"):
                raise InvalidRequestError(
                    f"mounts: the target {target!r} would hide {path!r}, which the sandbox runs "
                    "on; choose another"
                )


def stand_in(ids: IdMap, slot: int, agent: Mapping[str, Any]) -> list[int] | None:
    """The host's ids of a sandbox's user and group, where a mount can show them as owners."""
    if ids.kind != "root":
        return None
    first = ids.sandbox(slot).root
    return [ids.uids[1] + first + agent["uid"], ids.gids[1] + first + agent["gid"]]


def own_root(template: Mapping[str, Any], ids: IdMap, slot: int) -> Sequence[Mapping[str, Any]]:
    """The mount by which a sandbox sees the owners in its template's root as ids of its own.

    Empty where the template has no directory of its own, or sandboxes no ids of their own.
    """
    root = template.get("rootfs")
    if not root or root["stamp"] is not None or ids.kind != "root":
        return ()
    first = ids.uids[1] + ids.sandbox(slot).root
    return [{"source": root["path"], "read_only": True, "first": first, "count": RANGE}]


async def detached(
    mounts: Sequence[Mapping[str, Any]], owners: list[int] | None, digest: str
) -> list[int]:
    """Descriptors of detached mounts, in the same order; the caller closes them.

    Args:
        mounts: source, target and whether it is read-only.
        owners: the host's user and group that the sources' owners shall be seen as.
        digest: tells this daemon's processes from another's.

    Raises:
        InvalidRequestError: a source cannot be mounted.
        UnsupportedError: this system cannot do it.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[dict[str, Any], list[int]]] = loop.create_future()
    ours, theirs = wire.pair()
    with theirs:
        try:
            process = _start(theirs.fileno(), digest)
        except OSError as error:
            ours.close()
            raise TransportError(f"mounts: {error}", outcome="not_started") from error
    peer = Peer(ours, lambda *said: _take(answer, *said), lambda _: _give_up(answer))
    try:
        peer.send({"mounts": [dict(mount) for mount in mounts], "stand_in": owners})
        said, trees = await answer
    except asyncio.CancelledError:
        if answer.done() and not answer.cancelled() and answer.exception() is None:
            wire.close_all(answer.result()[1])
        raise
    finally:
        answer.cancel()
        peer.close()
        process.kill()
        await outlast(asyncio.to_thread(process.wait))
    if "code" in said:
        raise codes.from_wire(said)
    if len(trees) != len(mounts):
        wire.close_all(trees)
        raise UnsupportedError(
            "mounts: a process may not have so many descriptors",
            capability="mounts",
            hint="ulimit -n",
        )
    return trees


def _start(control: int, digest: str) -> subprocess.Popen[bytes]:
    return bootstrap.popen(
        sys.executable,
        f"sandboxkit-mounter-{digest}",
        "sandboxkit_local.mounter",
        control,
        os.getpid(),
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=None,
        pass_fds=[control],
    )


def _take(
    answer: asyncio.Future[tuple[dict[str, Any], list[int]]], said: dict[str, Any], fds: list[int]
) -> None:
    if answer.done():
        wire.close_all(fds)
    else:
        answer.set_result((said, fds))


def _give_up(answer: asyncio.Future[tuple[dict[str, Any], list[int]]]) -> None:
    if not answer.done():
        answer.set_exception(
            TransportError("mounts: the process that makes them died", outcome="not_started")
        )
