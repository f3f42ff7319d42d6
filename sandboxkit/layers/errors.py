"""Errors that say where they happened, whoever raised them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from ..errors import SandboxError
from ..models import SandboxInfo, SnapshotInfo
from ..provider import (
    ListRequest,
    ReadFileRequest,
    ReadManyRequest,
    SnapshotListRequest,
    TreeEntry,
    TreePart,
    WalkTreeRequest,
)
from .base import Layer

__all__ = ["LocatedErrors"]

T = TypeVar("T")


class LocatedErrors(Layer):
    """Fills in an error's ``op``, ``provider`` and ``sandbox_id`` where its raiser did not."""

    def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        """List."""
        return self._iterated("list", request, self.inner.list(request))

    def read_file(self, request: ReadFileRequest) -> AsyncIterator[bytes]:
        """Read."""
        return self._iterated("read", request, self.inner.read_file(request))

    def list_snapshots(self, request: SnapshotListRequest) -> AsyncIterator[SnapshotInfo]:
        """List."""
        return self._iterated("snapshots", request, self.inner.list_snapshots(request))

    def walk_tree(self, request: WalkTreeRequest) -> AsyncIterator[Sequence[TreeEntry]]:
        """Walk."""
        return self._iterated("download", request, self.inner.walk_tree(request))

    def read_many(self, request: ReadManyRequest) -> AsyncIterator[Sequence[TreePart]]:
        """Read."""
        return self._iterated("download", request, self.inner.read_many(request))

    async def _iterated(self, op: str, request: Any, source: AsyncIterator[T]) -> AsyncIterator[T]:
        try:
            async for item in source:
                yield item
        except SandboxError as error:
            self._locate(error, op, request)
            raise

    def _locate(self, error: SandboxError, op: str, request: Any) -> None:
        sandbox_id = getattr(request, "sandbox_id", None)
        error.locate(op=op, provider=self.name, sandbox_id=sandbox_id)


def _located(method: str, op: str) -> Callable[[LocatedErrors, Any], Coroutine[Any, Any, Any]]:
    async def located(self: LocatedErrors, request: Any) -> Any:
        try:
            return await getattr(self.inner, method)(request)
        except SandboxError as error:
            self._locate(error, op, request)
            raise

    located.__name__ = method
    located.__doc__ = "Pass on."
    return located


_OPS = {
    "attach": "attach",
    "connect": "connect",
    "connect_port": "url",
    "create": "create",
    "create_context": "contexts.create",
    "delete_snapshot": "delete_snapshot",
    "digest_many": "transfer",
    "fork": "fork",
    "kill": "kill",
    "list_contexts": "contexts.list",
    "list_files": "files.list",
    "list_processes": "processes",
    "metrics": "metrics",
    "mkdir": "mkdir",
    "pause": "pause",
    "port_url": "url",
    "remove": "remove",
    "remove_context": "contexts.remove",
    "rename": "rename",
    "restart_context": "contexts.restart",
    "resume": "resume",
    "run_code": "run_code",
    "set_lifetime": "set_lifetime",
    "snapshot": "snapshot",
    "start": "start",
    "stat": "stat",
    "stat_many": "transfer",
    "watch": "watch",
    "write_file": "write",
    "write_many": "upload",
}
for _method, _op in _OPS.items():
    setattr(LocatedErrors, _method, _located(_method, _op))
