"""The parts of the blocking facade: files, contexts, snapshots, and how callbacks reach them."""

from __future__ import annotations

import builtins
import inspect
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from .contexts import AsyncContexts
from .files import AsyncFiles
from .models import ContextInfo, FileEvent, FileInfo, SnapshotInfo, SnapshotKind
from .portal import call, in_caller, iterate
from .ports import AsyncForward
from .snapshot import AsyncSnapshot
from .stdin import ByteSource
from .transfer import ProgressCallback, TransferSummary, Verify
from .units import Duration
from .watch import AsyncWatch

__all__ = ["Contexts", "Files", "Forward", "Snapshot", "Watch", "documented_by", "off_loop"]

C = TypeVar("C", bound=type)


def documented_by(source: type) -> Callable[[C], C]:
    """Give a facade and its methods the docstrings of what they stand for."""

    def apply(facade: C) -> C:
        facade.__doc__ = (source.__doc__ or "").replace("``async with``", "``with``")
        for name, value in vars(facade).items():
            original = inspect.getattr_static(source, name, None)
            target = getattr(value, "__func__", getattr(value, "fget", value))
            document = getattr(original, "__doc__", None)
            if callable(target) and not name.startswith("_") and document:
                target.__doc__ = document
                if isinstance(value, property):
                    setattr(facade, name, property(value.fget, doc=document))
        return facade

    return apply


def off_loop(
    callback: Callable[[Any], Awaitable[None] | None] | None,
) -> Callable[[Any], Awaitable[None]] | None:
    """A callback that runs in the calling thread, so that it may block and may use the sandbox."""
    if not callable(callback):
        return callback  # nothing, or a mistake that is told where all arguments are checked
    wanted = callback

    async def relay(value: Any) -> None:
        pending = await in_caller(wanted, value)
        if inspect.isawaitable(pending):
            await pending

    return relay


@documented_by(AsyncFiles)
class Files:
    def __init__(self, files: AsyncFiles) -> None:
        self._files = files

    def read_text(
        self, path: str, *, encoding: str = "utf-8", errors: str = "strict", user: str | None = None
    ) -> str:
        return call(self._files.read_text, path, encoding=encoding, errors=errors, user=user)

    def read_bytes(
        self, path: str, *, offset: int = 0, length: int | None = None, user: str | None = None
    ) -> bytes:
        return call(self._files.read_bytes, path, offset=offset, length=length, user=user)

    def read_stream(
        self, path: str, *, offset: int = 0, length: int | None = None, user: str | None = None
    ) -> Iterator[bytes]:
        return iterate(self._files.read_stream(path, offset=offset, length=length, user=user))

    def write(
        self, path: str, data: ByteSource, *, mode: int | None = None, user: str | None = None
    ) -> None:
        call(self._files.write, path, data, mode=mode, user=user)

    def write_many(self, files: Mapping[str, ByteSource], *, user: str | None = None) -> None:
        call(self._files.write_many, files, user=user)

    def stat(self, path: str, *, user: str | None = None) -> FileInfo:
        return call(self._files.stat, path, user=user)

    def exists(self, path: str, *, user: str | None = None) -> bool:
        return call(self._files.exists, path, user=user)

    def list(
        self, path: str = ".", *, depth: int = 1, user: str | None = None
    ) -> builtins.list[FileInfo]:
        return call(self._files.list, path, depth=depth, user=user)

    def mkdir(
        self, path: str, *, parents: bool = True, mode: int = 0o755, user: str | None = None
    ) -> None:
        call(self._files.mkdir, path, parents=parents, mode=mode, user=user)

    def remove(self, path: str, *, recursive: bool = False, user: str | None = None) -> None:
        call(self._files.remove, path, recursive=recursive, user=user)

    def rename(self, path: str, target: str, *, user: str | None = None) -> None:
        call(self._files.rename, path, target, user=user)

    def watch(self, path: str = ".", *, recursive: bool = False, user: str | None = None) -> Watch:
        return Watch(self._files.watch(path, recursive=recursive, user=user))

    def upload(
        self,
        source: str | os.PathLike[str],
        path: str,
        *,
        exclude: Sequence[str] = (),
        verify: Verify = "time",
        progress: ProgressCallback | None = None,
        user: str | None = None,
    ) -> TransferSummary:
        return call(
            self._files.upload,
            source,
            path,
            exclude=exclude,
            verify=verify,
            progress=off_loop(progress),
            user=user,
        )

    def download(
        self,
        path: str,
        target: str | os.PathLike[str],
        *,
        exclude: Sequence[str] = (),
        verify: Verify = "time",
        progress: ProgressCallback | None = None,
        user: str | None = None,
    ) -> TransferSummary:
        return call(
            self._files.download,
            path,
            target,
            exclude=exclude,
            verify=verify,
            progress=off_loop(progress),
            user=user,
        )


@documented_by(AsyncWatch)
class Watch:
    def __init__(self, watch: AsyncWatch) -> None:
        self._watch = watch

    def next(self, timeout: Duration | None = None) -> FileEvent | None:
        return call(self._watch.next, timeout)

    def close(self) -> None:
        call(self._watch.close)

    def __iter__(self) -> Iterator[FileEvent]:
        return iterate(self._watch.__aiter__())

    def __enter__(self) -> Self:
        call(self._watch.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@documented_by(AsyncContexts)
class Contexts:
    def __init__(self, contexts: AsyncContexts) -> None:
        self._contexts = contexts

    def create(
        self,
        language: str = "python",
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> ContextInfo:
        return call(self._contexts.create, language, cwd=cwd, env=env, user=user)

    def list(self) -> builtins.list[ContextInfo]:
        return call(self._contexts.list)

    def restart(self, context: str | ContextInfo) -> ContextInfo:
        return call(self._contexts.restart, context)

    def remove(self, context: str | ContextInfo) -> None:
        call(self._contexts.remove, context)


@documented_by(AsyncSnapshot)
class Snapshot:
    def __init__(self, snapshot: AsyncSnapshot) -> None:
        self._snapshot = snapshot

    def __repr__(self) -> str:
        return repr(self._snapshot).replace("AsyncSnapshot", "Snapshot", 1)

    @property
    def info(self) -> SnapshotInfo:
        return self._snapshot.info

    @property
    def address(self) -> str:
        return self._snapshot.address

    @property
    def id(self) -> str:
        return self._snapshot.id

    @property
    def name(self) -> str | None:
        return self._snapshot.name

    @property
    def kind(self) -> SnapshotKind:
        return self._snapshot.kind

    @property
    def size(self) -> int | None:
        return self._snapshot.size

    @property
    def created_at(self) -> datetime:
        return self._snapshot.created_at

    def delete(self) -> bool:
        return call(self._snapshot.delete)


@documented_by(AsyncForward)
class Forward:
    def __init__(self, forward: AsyncForward) -> None:
        self._forward = forward
        self.host = forward.host
        self.port = forward.port

    def __repr__(self) -> str:
        return repr(self._forward).replace("AsyncForward", "Forward", 1)

    def close(self) -> None:
        call(self._forward.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
