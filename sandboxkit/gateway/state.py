"""What a gateway remembers across restarts: its tenants' sandboxes and snapshots, in SQLite."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError

__all__ = ["SandboxRecord", "SnapshotRecord", "State", "VolumeRecord"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, id TEXT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
"""


@dataclass(slots=True, kw_only=True)
class SandboxRecord:
    """A sandbox, as the gateway's clients know it.

    Attributes:
        id: its name on the wire.
        tenant: whose it is.
        address: ``provider:id``; empty while there is none, until it is made again.
        token: what its guest's part of the wire wants; needed in the clear to check signatures.
        traffic_token: what its ports want, or ``None`` if they are public.
        template: as its maker named it.
        metadata: as its maker gave it.
        started_at: seconds since the epoch.
        timeout: seconds it was to live.
        auto_pause: whether it is paused at the end of its time.
        auto_resume: whether a request to it wakes it.
        options: what else its maker asked for, to be told again.
        request: the key of the request that made it and a hash of what that asked for, if it
            had one.
    """

    id: str
    tenant: str
    address: str
    token: str
    traffic_token: str | None = None
    template: str = "base"
    metadata: dict[str, str] = field(default_factory=dict)
    started_at: float = 0.0
    timeout: float = 300.0
    auto_pause: bool = False
    auto_resume: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    request: tuple[str, str] | None = None


@dataclass(slots=True, kw_only=True)
class SnapshotRecord:
    """A snapshot, as the gateway's clients know it.

    Attributes:
        id: its name on the wire.
        tenant: whose it is.
        address: ``provider:id``.
        sandbox: of which it was taken.
        names: as its maker named it.
        created_at: seconds since the epoch.
        template: of which it is a build; empty if it is no template's.
        tags: of that build.
        settings: what holds in sandboxes that are made from it.
    """

    id: str
    tenant: str
    address: str
    sandbox: str
    names: list[str] = field(default_factory=list)
    created_at: float = 0.0
    template: str = ""
    tags: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class VolumeRecord:
    """A directory that sandboxes share, as the gateway's clients know it.

    Attributes:
        id: its name on the wire.
        tenant: whose it is.
        name: as its maker named it.
        token: what its files want.
    """

    id: str
    tenant: str
    name: str
    token: str


_Record = SandboxRecord | SnapshotRecord | VolumeRecord


class State:
    """All records, in memory and in a file. Reading is free; writing waits until it is stored.

    Args:
        path: of the file, which only this process uses; ``None`` forgets all at the end.
    """

    def __init__(self, path: Path | None) -> None:
        self.sandboxes: dict[str, SandboxRecord] = {}
        self.snapshots: dict[str, SnapshotRecord] = {}
        self.volumes: dict[str, VolumeRecord] = {}
        self._tokens: dict[str, str] = {}
        self._writer = ThreadPoolExecutor(1, "gateway-state")
        self._database = self._writer.submit(_opened, path).result()
        self._load()

    def by_token(self, token: str) -> SandboxRecord | None:
        """The sandbox whose token this is."""
        return self.sandboxes.get(self._tokens.get(token, ""))

    async def save(self, record: _Record) -> None:
        """Keep a record, new or changed."""
        self._keep(record)
        await self._execute(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?)",
            (_kind(record), record.id, json.dumps(asdict(record))),
        )

    async def forget(self, record: _Record) -> None:
        """Keep a record no longer. Idempotent."""
        if isinstance(record, SandboxRecord):
            if self.sandboxes.get(record.id, record) is not record:
                return  # another was made under this id meanwhile
            self.sandboxes.pop(record.id, None)
            self._tokens.pop(record.token, None)
        elif isinstance(record, SnapshotRecord):
            self.snapshots.pop(record.id, None)
        else:
            self.volumes.pop(record.id, None)
        await self._execute(
            "DELETE FROM records WHERE kind = ? AND id = ?", (_kind(record), record.id)
        )

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._writer.submit(self._database.close).result()
        self._writer.shutdown()

    def _keep(self, record: _Record) -> None:
        if isinstance(record, SandboxRecord):
            self.sandboxes[record.id] = record
            self._tokens[record.token] = record.id
        elif isinstance(record, SnapshotRecord):
            self.snapshots[record.id] = record
        else:
            self.volumes[record.id] = record

    def _load(self) -> None:
        rows = self._writer.submit(
            lambda: self._database.execute("SELECT kind, document FROM records").fetchall()
        ).result()
        for kind, document in rows:
            fields: Mapping[str, Any] = json.loads(document)
            self._keep(_KINDS[kind](**fields))

    async def _execute(self, statement: str, values: tuple[str, ...]) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writer, self._database.execute, statement, values)


_KINDS: dict[str, type[SandboxRecord | SnapshotRecord | VolumeRecord]] = {
    "sandbox": SandboxRecord,
    "snapshot": SnapshotRecord,
    "volume": VolumeRecord,
}


def _kind(record: _Record) -> str:
    return next(name for name, kind in _KINDS.items() if isinstance(record, kind))


def _opened(path: Path | None) -> sqlite3.Connection:
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # It holds the sandboxes' tokens.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=1.0)
        # Two servers with one file would each believe to know all that is in it.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("BEGIN EXCLUSIVE")
        database.execute(SCHEMA)
        database.execute("COMMIT")
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(
            f"the gateway's state cannot be kept in {path}: {error}",
            hint="another server may be using it; name one of your own with --state FILE",
        ) from error
    return database
