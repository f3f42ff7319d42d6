"""Trees of directories to and from a guest."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Any, TypeGuard, cast

from ..errors import ProtocolError, TransportError
from ..models import FileType
from ..provider import (
    DigestManyRequest,
    FileWanted,
    PathRequest,
    ReadManyRequest,
    StatManyRequest,
    TreeBegin,
    TreeEnd,
    TreeEntry,
    TreePart,
    WalkTreeRequest,
    WriteManyRequest,
)
from .agent import pieces
from .agent.pieces import Decoder, Piece, PieceError
from .agent.treeentry import Entry, from_wire, to_wire
from .client import Call, GuestClient
from .fields import Fields, integer
from .files import Reading

__all__ = ["digest_many", "read_many", "stat_many", "walk_tree", "write_many"]

GATHERED = 1 << 20
"""Bytes that are decoded at once, if so many have come."""

MOST_NAMES = 4096
"""Names in one request, as the guest takes them."""

DIGEST = 64
"""Characters of a SHA-256 checksum."""


async def walk_tree(
    client: GuestClient, request: WalkTreeRequest
) -> AsyncGenerator[list[TreeEntry], None]:
    """All in a directory, by the batch.

    Raises:
        SandboxError: what the guest answered, or why it did not.
    """
    async with aclosing(_received(client, "walk_tree", request, {})) as received:
        async for arrived in received:
            entries = [_entry(value) for piece in arrived for value in _entries(piece)]
            if entries:
                yield entries


async def stat_many(client: GuestClient, request: StatManyRequest) -> list[TreeEntry | None]:
    """What is there under each name.

    Raises:
        SandboxError: what the guest answered, or why it did not.
    """
    found: list[TreeEntry | None] = []
    names = [*request.names]
    for first in range(0, len(names), MOST_NAMES):
        some = names[first : first + MOST_NAMES]
        answered = await _stat_some(client, request, some)
        if [name for name, entry in zip(some, answered, strict=True) if not _is_of(name, entry)]:
            raise ProtocolError("the guest told of a file that was not asked for")
        found += answered
    return found


async def _stat_some(
    client: GuestClient, request: StatManyRequest, names: list[str]
) -> list[TreeEntry | None]:
    found: list[TreeEntry | None] = []
    async with aclosing(_received(client, "stat_many", request, {"names": names})) as received:
        async for arrived in received:
            for piece in arrived:
                values = _entries(piece)
                found += [None if value is None else _entry(value) for value in values]
            if len(found) > len(names):
                break
    if len(found) != len(names):
        raise ProtocolError(f"the guest told of {len(found)} files, not {len(names)}")
    return found


def _is_of(name: str, entry: TreeEntry | None) -> bool:
    return entry is None or entry.name == name


async def digest_many(client: GuestClient, request: DigestManyRequest) -> list[str | None]:
    """The checksums.

    Raises:
        SandboxError: what the guest answered, or why it did not.
    """
    found: list[str | None] = []
    files = [[*wanted] for wanted in request.files]
    for first in range(0, len(files), MOST_NAMES):
        some = files[first : first + MOST_NAMES]
        arguments = _arguments(request, {"files": some})
        digests = (await client.call("digest_many", **arguments)).get("digests")
        if type(digests) is not list or len(digests) != len(some):
            raise ProtocolError("the guest did not tell the checksums it was asked for")
        if not all(_is_digest(digest) for digest in digests):
            raise ProtocolError("the guest told what is no checksum")
        found += digests
    return found


def _is_digest(value: object) -> TypeGuard[str | None]:
    return value is None or (type(value) is str and len(value) == DIGEST)


async def read_many(
    client: GuestClient, request: ReadManyRequest
) -> AsyncGenerator[list[TreePart], None]:
    """The parts of the files, as fast as they are taken.

    Raises:
        SandboxError: what the guest answered, or why it did not.
    """
    for first in range(0, len(request.files), MOST_NAMES):
        some = request.files[first : first + MOST_NAMES]
        sequence = _Sequence(some)
        files = [[*wanted] for wanted in some]
        async with aclosing(_received(client, "read_many", request, {"files": files})) as received:
            async for arrived in received:
                if parts := [sequence.part(piece) for piece in arrived]:
                    yield parts
        sequence.finish()


async def write_many(client: GuestClient, request: WriteManyRequest) -> None:
    """Send the parts; returns when all of it is stored.

    Raises:
        SandboxError: what the guest answered, or why it did not.
    """
    call = Call()
    more = {} if request.mode is None else {"mode": request.mode}
    await client.open(call, "write_many", _arguments(request, more))
    try:
        try:
            async for parts in request.parts:
                await call.send(b"".join(_encoded(parts)))
            call.send_end()
        except (BrokenPipeError, TransportError):
            if not call.answer.done():
                raise
        await call.answer
    finally:
        call.reset()


def _encoded(parts: Sequence[TreePart]) -> Iterator[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            for start in range(0, len(part), pieces.MAX_CONTENT):
                yield from pieces.content_piece(part[start : start + pieces.MAX_CONTENT])
        elif isinstance(part, TreeBegin):
            begun = {"entry": to_wire(Entry(*part.entry)), "offset": part.offset}
            yield pieces.json_piece(pieces.BEGIN, begun)
        else:
            yield pieces.json_piece(pieces.END, {"name": part.name, "errno": part.errno})


async def _received(
    client: GuestClient, op: str, request: PathRequest, arguments: dict[str, Any]
) -> AsyncGenerator[list[Piece], None]:
    """The pieces that an operation sends, as many at a time as have come."""
    stream = Reading()
    await client.open(stream, op, _arguments(request, arguments))
    decoder = Decoder()
    try:
        while (chunk := await stream.inbox.get()) is not None:
            arrived = _fed(decoder, chunk)
            size = len(chunk)
            while len(stream.inbox) and size < GATHERED:
                if (chunk := await stream.inbox.get()) is None:
                    break
                arrived += _fed(decoder, chunk)
                size += len(chunk)
            stream.take(0, size)
            yield arrived
        if decoder.pending:
            raise ProtocolError("the guest ended within a piece")
    finally:
        stream.reset()


def _fed(decoder: Decoder, chunk: bytes) -> list[Piece]:
    try:
        return [*decoder.feed(chunk)]
    except PieceError as error:
        raise ProtocolError(f"the guest broke the protocol: {error}") from error


class _Sequence:
    """Holds the guest to the files that were asked for, in order, and to the sizes it tells."""

    def __init__(self, wanted: Sequence[FileWanted]) -> None:
        self._wanted = iter(wanted)
        self._begun: str | None = None
        self._left = 0

    def part(self, piece: Piece) -> TreePart:
        """What a piece means.

        Raises:
            ProtocolError: it may not be here.
        """
        kind, payload = piece
        if kind == pieces.CONTENT:
            self._left -= len(payload)
            if self._begun is None or self._left < 0:
                raise ProtocolError("the guest sent more of a file than there is")
            return payload
        if kind == pieces.BEGIN:
            return self._begin(_json(payload))
        if kind == pieces.END:
            return self._end(_json(payload))
        raise ProtocolError(f"the guest sent a piece of type {kind} among files")

    def finish(self) -> None:
        """See that nothing is missing.

        Raises:
            ProtocolError: something is.
        """
        if self._begun is not None or next(self._wanted, None) is not None:
            raise ProtocolError("the guest did not send all the files it was asked for")

    def _begin(self, told: Fields) -> TreeBegin:
        entry = _entry(told.get("entry"))
        wanted = next(self._wanted, None)
        if self._begun is not None or wanted is None or wanted.name != entry.name:
            raise ProtocolError("the guest sent a file that was not asked for")
        offset = integer(told, "offset", 0, entry.size)
        if entry.type != "file" or offset not in (0, wanted.offset):
            raise ProtocolError("the guest sent what is no file")
        self._begun = entry.name
        self._left = entry.size - offset
        return TreeBegin(entry, offset)

    def _end(self, told: Fields) -> TreeEnd:
        name = self._begun
        self._begun = None
        if name is None:  # it could not even be opened
            wanted = next(self._wanted, None)
            if wanted is None or not told.get("errno"):
                raise ProtocolError("the guest ended a file that it had not begun")
            name = wanted.name
        return TreeEnd(name, integer(told, "errno", 0, 4095))


def _entries(piece: Piece) -> list[Any]:
    kind, payload = piece
    values = _json(payload).get("entries") if kind == pieces.ENTRIES else None
    if type(values) is not list:
        raise ProtocolError("the guest sent what are no entries")
    return values


def _entry(value: object) -> TreeEntry:
    try:
        entry = from_wire(value)
    except (ValueError, TypeError) as error:
        raise ProtocolError(f"the guest told of a file as {value!r:.200}: {error}") from error
    # `from_wire` has seen to it that the type is one of these.
    return TreeEntry(entry.name, cast(FileType, entry.type), *entry[2:])


def _json(payload: bytes) -> Fields:
    try:
        return pieces.payload_of(payload)
    except PieceError as error:
        raise ProtocolError(f"the guest broke the protocol: {error}") from error


def _arguments(request: PathRequest, more: dict[str, Any]) -> dict[str, Any]:
    arguments = {"path": request.path, **more}
    if request.user is not None:
        arguments["user"] = request.user
    return arguments
