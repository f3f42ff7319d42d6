"""The daemon's socket: who may speak to it, and what they may ask."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from sandboxkit.errors import InvalidRequestError, SandboxError
from sandboxkit_local import codes, wire
from sandboxkit_local.peer import Peer

from . import metrics
from .registry import Sandbox
from .service import Service

__all__ = ["Server"]

_log = logging.getLogger(__name__)

_PAGE = 100
"""Records per reply, so that it fits a packet."""

Reply = tuple[dict[str, Any], list[socket.socket]]


class Server:
    """Accepts clients of our own user, and ends when it has been idle for long.

    Args:
        listener: the listening socket.
        service: what does the work.
        idle: seconds without sandboxes and clients after which to end.
        stop: called then, or when a client asks for it.
    """

    def __init__(
        self, listener: socket.socket, service: Service, idle: float, stop: Callable[[], None]
    ) -> None:
        self._listener = listener
        self._service = service
        self._idle = idle
        self._stop = stop
        self._clients: set[_Client] = set()
        self._timer: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        asyncio.get_running_loop().add_reader(listener, self._accept)
        self._rest()

    def close(self) -> None:
        """Accept nobody any more and let go of those who are there."""
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        for client in list(self._clients):
            client.drop()

    def gone(self, client: _Client) -> None:
        """A client has left."""
        self._clients.discard(client)
        self._rest()

    def stop(self) -> None:
        """End the daemon, and every sandbox with it."""
        self._stop()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            _log.warning("a client could not be accepted: %s", error)
            return
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        _, user, _ = struct.unpack("3i", credentials)
        if user != os.getuid():
            _log.warning("a client of user %d was turned away", user)
            sock.close()
            return
        self._clients.add(_Client(sock, self._service, self))

    def _rest(self) -> None:
        """Begin to count idle time, once there are no clients."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._idle, self._idled)

    def _idled(self) -> None:
        if self._clients or self._service.registry.owned:
            self._rest()
        else:
            self._stop()


class _Client:
    """One connected client. What it has begun and not got hold of dies with it."""

    def __init__(self, sock: socket.socket, service: Service, server: Server) -> None:
        self._service = service
        self._server = server
        self._making: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._offered: dict[str, Sandbox] = {}
        self._offered_snapshots: dict[str, str] = {}
        self._peer = Peer(sock, self._message, self._ended)
        self._handlers: dict[str, Callable[[dict[str, Any]], Awaitable[Reply]]] = {
            "connect": self._connect,
            "create": self._create,
            "delete_snapshot": self._delete_snapshot,
            "find": self._find,
            "fork": self._fork,
            "kill": self._kill,
            "list": self._list,
            "list_snapshots": self._list_snapshots,
            "metrics": self._metrics,
            "oom": self._oom,
            "pause": self._pause,
            "ping": self._ping,
            "resume": self._resume,
            "set_lifetime": self._set_lifetime,
            "shutdown": self._shutdown,
            "snapshot": self._snapshot,
        }

    def drop(self) -> None:
        """Hang up."""
        self._peer.close()
        self._abandon()

    # -- the connection -----------------------------------------------------------------------

    def _message(self, message: dict[str, Any], fds: list[int]) -> None:
        wire.close_all(fds)  # clients have none to give
        do = message.get("do")
        if do == "accept":
            self._offered.pop(str(message.get("sandbox")), None)
            self._offered_snapshots.pop(str(message.get("snapshot")), None)
        elif do == "abandon":
            self._abandon_one(str(message.get("nonce")))
        elif isinstance(do, str) and do in self._handlers and isinstance(message.get("id"), int):
            task = asyncio.get_running_loop().create_task(self._answer(message))
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._answered(done, message["id"]))
            if do in ("create", "fork", "snapshot"):
                nonce = str(message.get("nonce"))
                self._making[nonce] = task
                task.add_done_callback(lambda _: self._making.pop(nonce, None))
        else:
            self._ended(wire.Garbage("an unknown request"))
            self._peer.close()

    def _ended(self, error: Exception | None) -> None:
        if isinstance(error, wire.Garbage):
            _log.warning("a client was dropped: %s", error)
            refusal = codes.to_wire(InvalidRequestError(str(error)))
            try:
                self._peer.send({"error": refusal})
            except (ConnectionError, wire.Garbage):
                _log.info("and did not wait to hear why")
        self._abandon()

    def _abandon_one(self, nonce: str) -> None:
        """Nobody waits for this any more, whether it is under way or just answered."""
        task = self._making.get(nonce)
        if task is not None:
            task.cancel()
        for sandbox in list(self._offered.values()):
            if sandbox.info["labels"]["nonce"].startswith(nonce):  # a fork's ends with its number
                del self._offered[sandbox.id]
                sandbox.strike("killed")
        for snapshot_id, made_by in list(self._offered_snapshots.items()):
            if made_by == nonce:
                del self._offered_snapshots[snapshot_id]
                self._service.snapshots.delete(snapshot_id)

    def _abandon(self) -> None:
        for task in self._making.values():
            task.cancel()
        for sandbox in self._offered.values():
            sandbox.strike("killed")
        self._offered.clear()
        for snapshot_id in self._offered_snapshots:
            self._service.snapshots.delete(snapshot_id)
        self._offered_snapshots.clear()
        self._server.gone(self)

    async def _answer(self, message: dict[str, Any]) -> None:
        number = message["id"]
        sockets: list[socket.socket] = []
        try:
            try:
                result, sockets = await self._handlers[message["do"]](message)
                reply = {"id": number, "result": result}
            except SandboxError as error:
                reply = {"id": number, "error": codes.to_wire(error)}
            except (KeyError, TypeError, ValueError) as error:
                _log.exception("a request failed: %s", message["do"])
                what = InvalidRequestError(f"a malformed request: {type(error).__name__}")
                reply = {"id": number, "error": codes.to_wire(what)}
            self._peer.send(reply, [sock.fileno() for sock in sockets])
        except (ConnectionError, wire.Garbage) as error:
            _log.info("a reply could not be delivered: %s", error)
            self._abandon()
        finally:
            for sock in sockets:
                sock.close()

    def _answered(self, task: asyncio.Task[None], number: int) -> None:
        """A request is dealt with; one that failed by a mistake of ours gets an answer too."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("a request failed", exc_info=error)
            what = SandboxError(f"the daemon failed: {error!r}", outcome="unknown")
            with contextlib.suppress(ConnectionError, wire.Garbage):
                self._peer.send({"id": number, "error": codes.to_wire(what)})

    # -- requests -----------------------------------------------------------------------------

    async def _create(self, message: dict[str, Any]) -> Reply:
        for name in ("labels", "metadata"):
            _texts(message["info"], name)
        if not isinstance(message["nonce"], str):
            raise TypeError("nonce")
        sandbox, connection = await self._service.create(message)
        if self._peer.closed:
            connection.close()
            sandbox.strike("killed")
            raise ConnectionResetError("the client is gone")
        self._offered[sandbox.id] = sandbox
        return {"info": sandbox.info}, [connection]

    async def _connect(self, message: dict[str, Any]) -> Reply:
        return {}, [await self._service.connect(str(message["sandbox"]))]

    async def _find(self, message: dict[str, Any]) -> Reply:
        return {"info": (await self._service.settled(str(message["sandbox"]))).info}, []

    async def _fork(self, message: dict[str, Any]) -> Reply:
        count, labels = int(message["count"]), _texts(message, "labels")
        made = await self._service.fork({**message, "count": count, "labels": labels})
        if self._peer.closed:
            for sandbox in made:
                sandbox.strike("killed")
            raise ConnectionResetError("the client is gone")
        self._offered.update({sandbox.id: sandbox for sandbox in made})
        return {"sandboxes": [sandbox.id for sandbox in made]}, []

    async def _kill(self, message: dict[str, Any]) -> Reply:
        return {"killed": await self._service.kill(str(message["sandbox"]))}, []

    async def _list(self, message: dict[str, Any]) -> Reply:
        found = self._service.registry.matching(
            _texts(message, "labels"), _texts(message, "metadata"), message.get("state")
        )
        return _page([sandbox.info for sandbox in found], message)

    async def _metrics(self, message: dict[str, Any]) -> Reply:
        return metrics.of(self._service.registry.running(str(message["sandbox"]))), []

    async def _oom(self, message: dict[str, Any]) -> Reply:
        sandbox = self._service.registry.get(str(message["sandbox"]))
        return {"oom": sandbox.ran_out_of_memory()}, []

    async def _pause(self, message: dict[str, Any]) -> Reply:
        lifetime = message["lifetime"]
        seconds = None if lifetime is None else float(lifetime)
        sandbox = self._service.registry.get(str(message["sandbox"]))
        await self._service.pausing.pause(sandbox, seconds)
        return {"info": sandbox.info}, []

    async def _resume(self, message: dict[str, Any]) -> Reply:
        sandbox = self._service.registry.get(str(message["sandbox"]))
        await self._service.pausing.resume(sandbox)
        return {"info": sandbox.info}, []

    async def _set_lifetime(self, message: dict[str, Any]) -> Reply:
        lifetime = message["lifetime"]
        seconds = None if lifetime is None else float(lifetime)
        return {"info": await self._service.set_lifetime(str(message["sandbox"]), seconds)}, []

    async def _snapshot(self, message: dict[str, Any]) -> Reply:
        nonce = str(message["nonce"])
        record = await self._service.snapshot(message)
        if self._peer.closed:
            self._service.snapshots.delete(record["id"])
            raise ConnectionResetError("the client is gone")
        self._offered_snapshots[record["id"]] = nonce
        return {"info": record}, []

    async def _list_snapshots(self, message: dict[str, Any]) -> Reply:
        return _page(self._service.snapshots.list(_texts(message, "labels")), message)

    async def _delete_snapshot(self, message: dict[str, Any]) -> Reply:
        return {"deleted": self._service.snapshots.delete(str(message["snapshot"]))}, []

    async def _ping(self, message: dict[str, Any]) -> Reply:
        registry = self._service.registry
        return {
            "pid": os.getpid(),
            "sandboxes": registry.owned,
            "prepared": self._service.prepared.ready,
        }, []

    async def _shutdown(self, message: dict[str, Any]) -> Reply:
        self._server.stop()
        return {}, []


def _texts(message: dict[str, Any], name: str) -> dict[str, str]:
    """A field that maps text to text."""
    value = message[name]
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise TypeError(name)
    return value


def _page(records: list[dict[str, Any]], message: dict[str, Any]) -> Reply:
    """The records after the one the client has got last."""
    after = message.get("after")
    position = next((i + 1 for i, record in enumerate(records) if record["id"] == after), 0)
    page = records[position : position + _PAGE]
    more = position + _PAGE < len(records)
    return {"items": page, "more": more}, []
