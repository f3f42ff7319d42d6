"""The operations on directory trees: many files on one stream, a piece of work at a time."""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, NoReturn, Optional, Tuple

from . import arguments, pieces
from .beneath import Beneath
from .files import FileArguments
from .filewalk import Walk
from .server import Server
from .stream import Message, Stream
from .treeentry import Entry, parts_of, to_wire
from .treepump import Pump
from .treeread import Begun, Digests, Ended, Part, Wanted, read_file
from .treereceive import Receiver
from .treestore import TreeStore, make_top
from .treewalk import TreeWalk

#: Names in one request.
MOST_NAMES = 4096
_ENTRIES_AT_ONCE = 256
_BYTES_AT_ONCE = 65_536
# A byte may take six in JSON, and the numbers of an entry about a hundred.
_ENTRY_BYTES = 100
_FILES_AT_ONCE = 64


def install(server: Server) -> None:
    """Offer these operations."""
    ops = Trees(server)
    for name in ("walk_tree", "stat_many", "digest_many", "read_many", "write_many"):
        server.add_op(name, getattr(ops, name))
    server.add_feature("trees")


class Trees:
    """The handlers. Names are below ``path``, and no link below it is ever followed."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def walk_tree(self, stream: Stream, args: Message) -> None:
        """Send the entries of all in a directory."""
        common = FileArguments(self._server, args)
        try:
            with common.acting():
                walk = TreeWalk(common.raw)
        except OSError as error:
            raise common.error(error) from error
        self._pump(stream, common, _entry_pieces(walk), walk.close)

    def stat_many(self, stream: Stream, args: Message) -> None:
        """Send what is there under each of many names, in order."""
        common = FileArguments(self._server, args)
        names = [_name(item) for item in _listed(args, "names")]
        try:
            with common.acting():
                store: Optional[TreeStore] = TreeStore(common.raw)
        except (FileNotFoundError, NotADirectoryError):
            store = None
        except OSError as error:
            raise common.error(error) from error
        looking = (None if store is None else store.look(name) for name in names)
        self._pump(stream, common, _entry_pieces(looking), _closing(store))

    def digest_many(self, stream: Stream, args: Message) -> None:
        """Tell the checksums of many files, or of how each begins."""
        common = FileArguments(self._server, args)
        wanted = [_to_digest(item) for item in _listed(args, "files")]
        try:
            with common.acting():
                place = Beneath(common.raw)
        except OSError as error:
            raise common.error(error) from error
        Digesting(self._server, stream, common, place, wanted)

    def read_many(self, stream: Stream, args: Message) -> None:
        """Send the content of many files, in order."""
        common = FileArguments(self._server, args)
        wanted = [_to_read(item) for item in _listed(args, "files")]
        try:
            with common.acting():
                place = Beneath(common.raw)
        except OSError as error:
            raise common.error(error) from error
        parts = (part for file in wanted for part in read_file(place, file))
        self._pump(stream, common, _file_pieces(parts), place.close)

    def write_many(self, stream: Stream, args: Message) -> None:
        """Write what the client sends: directories, links and files, in order."""
        common = FileArguments(self._server, args)
        mode = arguments.integer(args, "mode")
        if mode is not None and mode > 0o7777:
            raise arguments.bad("'mode' must be permission bits")
        try:
            with common.acting():
                make_top(common.raw, mode)
                store = TreeStore(common.raw)
        except OSError as error:
            raise common.error(error) from error
        Receiver(self._server.loop, stream, common, store)

    def _pump(
        self,
        stream: Stream,
        common: FileArguments,
        source: Iterator[bytes],
        close: Callable[[], None],
    ) -> None:
        Pump(self._server.loop, stream, common, source, close)


class Digesting(Walk):
    """Hashes a slice at a time, so that others are served in between."""

    def __init__(
        self,
        server: Server,
        stream: Stream,
        common: FileArguments,
        place: Beneath,
        wanted: List[Tuple[str, Optional[int], bool]],
    ) -> None:
        super().__init__(server.loop, stream, common)
        self._place = place
        self._digests = Digests(place, wanted)
        stream.on_lost = lambda _clean: self.close()

    def step(self) -> bool:
        """Hash the next slice."""
        return self._digests.step()

    def outcome(self) -> Message:
        """The checksums."""
        return {"digests": self._digests.found}

    def close(self) -> None:
        """Let go of the descriptors."""
        self._digests.close()
        self._place.close()


def _entry_pieces(entries: Iterator[Optional[Entry]]) -> Iterator[bytes]:
    """Entries by the batch."""
    batch: List[Any] = []
    size = 0
    for entry in entries:
        batch.append(None if entry is None else to_wire(entry))
        size += _ENTRY_BYTES
        if entry is not None:
            size += 6 * (len(entry.name) + len(entry.target or ""))
        if len(batch) == _ENTRIES_AT_ONCE or size > _BYTES_AT_ONCE:
            yield pieces.json_piece(pieces.ENTRIES, {"entries": batch})
            batch, size = [], 0
    if batch:
        yield pieces.json_piece(pieces.ENTRIES, {"entries": batch})


def _file_pieces(parts: Iterator[Part]) -> Iterator[bytes]:
    """Parts of files, small ones together."""
    gathered: List[bytes] = []
    size = files = 0
    for part in parts:
        if isinstance(part, bytes):
            gathered += pieces.content_piece(part)
            size += len(part)
        elif isinstance(part, Begun):
            begun = {"entry": to_wire(part.entry), "offset": part.offset}
            gathered.append(pieces.json_piece(pieces.BEGIN, begun))
        else:
            gathered.append(pieces.json_piece(pieces.END, _ended(part)))
            files += 1
        if size >= _BYTES_AT_ONCE or files >= _FILES_AT_ONCE:
            yield b"".join(gathered)
            gathered.clear()
            size = files = 0
    if gathered:
        yield b"".join(gathered)


def _ended(part: Ended) -> Message:
    return {"name": part.name, "errno": part.errno}


def _closing(store: Optional[TreeStore]) -> Callable[[], None]:
    return store.close if store is not None else lambda: None


# -- arguments --


def _listed(args: Message, name: str) -> List[Any]:
    value = args.get(name)
    if not isinstance(value, list) or len(value) > MOST_NAMES:
        raise arguments.bad(f"{name!r} must be a list of at most {MOST_NAMES}")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise arguments.bad("a name must be a string")
    try:
        parts_of(value)
    except ValueError as error:
        raise arguments.bad(str(error)) from None
    return value


def _to_read(value: object) -> Wanted:
    """Of ``[name, offset, mtime_ns]``."""
    if not isinstance(value, list) or len(value) != 3:
        _bad_file()
    name, offset, mtime_ns = value
    if not _whole(offset) or not _whole(mtime_ns, -(1 << 63)):
        _bad_file()
    return Wanted(_name(name), offset, mtime_ns)


def _to_digest(value: object) -> Tuple[str, Optional[int], bool]:
    """Of ``[name, length, partial]``."""
    if not isinstance(value, list) or len(value) != 3:
        _bad_file()
    name, length, partial = value
    if (length is not None and not _whole(length)) or not isinstance(partial, bool):
        _bad_file()
    return _name(name), length, partial


def _whole(value: object, low: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value < 1 << 63


def _bad_file() -> NoReturn:
    raise arguments.bad("'files' must be a list of what the protocol says")
