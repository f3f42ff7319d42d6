"""Snapshots on disk: a tar file, which the guest streams, and a JSON file, which makes it valid."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandboxkit.errors import InvalidRequestError, ProtocolError, SnapshotNotFoundError

from .waiting import outlast

__all__ = ["VERDICT", "SnapshotStore"]

_log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_SLACK = 64 << 20  # bytes that headers may take, beside a quarter of the sandbox's disk
_LONGEST_TIMER = 86_400.0  # seconds; a timer is set again then, so that no clock drifts far

VERDICT = 10.0
"""Seconds that a guest has, after the last byte, to say how it went."""


class SnapshotStore:
    """The snapshots in one directory.

    Args:
        directory: where they are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._snapshots: dict[str, dict[str, Any]] = {}
        self._taking: set[tuple[str, str | None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def load(self) -> None:
        """Read what is there; remove what a predecessor left unfinished, and what has expired."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        for path in sorted(self._directory.glob("*.json")):
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                self._snapshots[record["id"]] = record
            except (OSError, ValueError, KeyError, TypeError) as error:
                _log.warning("%s is no snapshot: %s", path, error)
        for path in self._directory.iterdir():
            if path.name.split(".")[0] not in self._snapshots:
                path.unlink()
        for record in list(self._snapshots.values()):
            self._arm(record)

    def list(self, labels: dict[str, str]) -> list[dict[str, Any]]:
        """Those that carry all of these labels, oldest first."""
        found = [r for r in self._snapshots.values() if labels.items() <= r["labels"].items()]
        return sorted(found, key=lambda record: float(record["created_at"]))

    def get(self, snapshot_id: str) -> dict[str, Any]:
        """One of them.

        Raises:
            SnapshotNotFoundError: there is none of this id.
        """
        record = self._snapshots.get(snapshot_id)
        if record is None:
            raise SnapshotNotFoundError(f"there is no snapshot {snapshot_id}")
        return record

    def delete(self, snapshot_id: str) -> bool:
        """Delete one; true if it was there. Sandboxes being restored from it are not disturbed."""
        record = self._snapshots.pop(snapshot_id, None)
        timer = self._timers.pop(snapshot_id, None)
        if timer is not None:
            timer.cancel()
        self._remove(snapshot_id)
        return record is not None

    def _remove(self, snapshot_id: str) -> None:
        for suffix in (".json", ".draft", ".tar", ".partial"):
            (self._directory / (snapshot_id + suffix)).unlink(missing_ok=True)

    async def take(
        self, stream: int, done: asyncio.Future[dict[str, Any]], disk: int, **fields: Any
    ) -> dict[str, Any]:
        """Store what comes through a pipe. If that is cancelled, nothing is left.

        Args:
            stream: the read end; stays the caller's, and is not used any more afterwards.
            done: what the guest says once it has written everything.
            disk: bytes that the sandbox may have on its disk.
            fields: ``name``, ``labels``, ``lifetime`` (seconds) and ``template``.

        Returns:
            The record.

        Raises:
            OSError: the guest or the disk failed; nothing is left.
            ProtocolError: more came than the sandbox's disk can hold; nothing is left.
        """
        snapshot_id = secrets.token_hex(8)
        partial = self._directory / f"{snapshot_id}.partial"
        try:
            size = await self._whole(stream, done, disk, partial)
            now, lifetime = time.time(), fields["lifetime"]
            record = {
                "id": snapshot_id,
                "name": fields["name"],
                "created_at": now,
                "expires_at": None if lifetime is None else now + lifetime,
                "size": size,
                "labels": fields["labels"],
                "template": fields["template"],
            }
            loop = asyncio.get_running_loop()
            await outlast(loop.run_in_executor(None, self._finish, partial, record))
        except BaseException:
            self._remove(snapshot_id)
            raise
        self._snapshots[snapshot_id] = record
        self._arm(record)
        return record

    async def hold(self, stream: int, done: asyncio.Future[dict[str, Any]], disk: int) -> int:
        """Store what comes through a pipe for as long as a descriptor of it is open; see `take`."""
        partial = self._directory / f"{secrets.token_hex(8)}.partial"
        try:
            await self._whole(stream, done, disk, partial)
            return os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            partial.unlink(missing_ok=True)

    async def _whole(
        self, stream: int, done: asyncio.Future[dict[str, Any]], disk: int, path: Path
    ) -> int:
        """Store a stream of which the guest says that it was all; returns its size."""
        size = await self._receive(stream, path, disk + disk // 4 + _SLACK)
        try:
            async with asyncio.timeout(VERDICT):
                answer = await asyncio.shield(done)
        except TimeoutError as error:
            raise OSError("the guest did not say whether that was all") from error
        if not answer.get("ok"):
            raise OSError(f"the guest failed: {answer.get('error')}")
        return size

    async def _receive(self, stream: int, path: Path, limit: int) -> int:
        """Store a stream; returns its size. Whatever happens, its thread has ended by then."""
        stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        loop = asyncio.get_running_loop()
        storing = loop.run_in_executor(None, _store, stream, path, limit, stop)
        try:
            return await asyncio.shield(storing)
        except asyncio.CancelledError:
            os.eventfd_write(stop, 1)
            with contextlib.suppress(OSError):
                await outlast(storing)
            raise
        finally:
            os.close(stop)

    @contextlib.contextmanager
    def reserve(self, name: str | None, labels: dict[str, str]) -> Iterator[None]:
        """Keep a name for a snapshot that is about to be taken.

        Raises:
            InvalidRequestError: the owner has a snapshot of this name.
        """
        key = (labels.get("owner", ""), name)
        if name is not None:
            self._check_name(*key)
            self._taking.add(key)
        try:
            yield
        finally:
            self._taking.discard(key)

    def open(self, snapshot_id: str) -> int:
        """A descriptor of its tar file.

        Raises:
            SnapshotNotFoundError: there is none of this id.
        """
        self.get(snapshot_id)
        try:
            return os.open(self._directory / f"{snapshot_id}.tar", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise SnapshotNotFoundError(f"the files of snapshot {snapshot_id} are gone") from error

    def _check_name(self, owner: str, name: str | None) -> None:
        taken = any(
            record["name"] == name and record["labels"].get("owner", "") == owner
            for record in self._snapshots.values()
        )
        if taken or (owner, name) in self._taking:
            raise InvalidRequestError(
                f"there is a snapshot named {name!r} already",
                hint="delete it, or take another name",
            )

    def _finish(self, partial: Path, record: dict[str, Any]) -> None:
        base = self._directory / record["id"]
        partial.rename(base.with_suffix(".tar"))
        draft = base.with_suffix(".draft")
        draft.write_text(json.dumps(record), encoding="utf-8")
        draft.rename(base.with_suffix(".json"))

    def _arm(self, record: dict[str, Any]) -> None:
        if record["expires_at"] is None:
            return
        left = record["expires_at"] - time.time()
        if left <= 0:
            self.delete(record["id"])
            return
        wait = min(left, _LONGEST_TIMER)
        loop = asyncio.get_running_loop()
        self._timers[record["id"]] = loop.call_later(wait, self._arm, record)


def _store(stream: int, path: Path, limit: int, stop: int) -> int:
    """Write a stream to a new file; returns its size in bytes.

    Raises:
        ProtocolError: it is longer than `limit`.
        OSError: the disk failed, or `stop` became readable.
    """
    size = 0
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    poll.register(stop, select.POLLIN)
    with open(path, "xb") as file:
        while True:
            if any(fd == stop for fd, _ in poll.poll()):
                raise InterruptedError("nobody waits for it any more")
            chunk = os.read(stream, _CHUNK)
            if not chunk:
                break
            size += len(chunk)
            if size > limit:
                raise ProtocolError(
                    f"the snapshot has more than {limit} bytes, which the sandbox's disk cannot"
                    " hold; nothing was kept",
                    outcome="not_started",
                    retryable=False,
                )
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return size
