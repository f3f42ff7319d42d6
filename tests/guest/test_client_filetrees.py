"""A guest that lies about its files writes nothing where it should not, and is told so."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sandboxkit.capabilities import Capabilities
from sandboxkit.errors import ProtocolError, UnsupportedError
from sandboxkit.guest.agent import frames, pieces
from sandboxkit.guest.client import GuestClient
from sandboxkit.guest.provider import GuestProvider
from sandboxkit.models import SandboxInfo
from sandboxkit.provider import CreateRequest, ListRequest, ProviderSettings
from sandboxkit.transfer import TransferOptions, download, upload

from .client_peer import Peer, peer_and_client

Answer = Callable[[dict[str, Any]], list[bytes]]
"""What a guest sends for the arguments of an operation: pieces."""


class HostileProvider(GuestProvider):
    """Its one guest is the test."""

    name = "hostile"
    capabilities = Capabilities(
        isolation="none",
        attach=True,
        code=True,
        file_ops=True,
        lifetime_update=True,
        ports=True,
        terminals=True,
        trees=True,
        watch=True,
    )

    def __init__(self, client: GuestClient) -> None:
        super().__init__(ProviderSettings())
        self._clients["s"] = client

    async def boot(self, request: CreateRequest) -> SandboxInfo:
        raise UnsupportedError("no")

    async def dial(self, sandbox_id: str, factory: Any) -> Any:
        raise UnsupportedError("no")

    async def destroy(self, sandbox_id: str) -> bool:
        return False

    async def find(self, sandbox_id: str) -> SandboxInfo:
        raise UnsupportedError("nobody can tell")

    async def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        for _ in ():
            yield _


async def serve(peer: Peer, answers: dict[str, Answer]) -> None:
    """Answer operations until the client is gone."""
    while True:
        try:
            frame = await peer.frame()
        except (EOFError, ConnectionError):
            return
        if frame.type != frames.OPEN:
            continue
        arguments = frame.json()
        answer = answers[arguments["op"]](arguments)
        for piece in answer:
            for start in range(0, len(piece), frames.MAX_DATA):
                peer.data(frame.stream, piece[start : start + frames.MAX_DATA], 0)
        peer.data(frame.stream, b"", 0, fin=True)
        peer.json(frames.RESULT, frame.stream)


@asynccontextmanager
async def hostile(answers: dict[str, Answer]) -> AsyncIterator[HostileProvider]:
    async with peer_and_client() as (peers, client):
        await client.connection()
        serving = asyncio.create_task(serve(await peers.get(), answers))
        try:
            yield HostileProvider(client)
        finally:
            await client.aclose()
            await serving


def entries(*values: object) -> bytes:
    return pieces.json_piece(pieces.ENTRIES, {"entries": [*values]})


def began(*entry: object, offset: object = 0) -> bytes:
    return pieces.json_piece(pieces.BEGIN, {"entry": [*entry], "offset": offset})


def body(data: bytes) -> bytes:
    return b"".join(pieces.content_piece(data))


END = pieces.json_piece(pieces.END, {"errno": 0})
TOP = ["", "directory", 0, 0o755]
IS_A_DIRECTORY: Answer = lambda _: [entries(["d", "directory", 0, 0o755])]  # noqa: E731


def fetch(tmp_path: Path, answers: dict[str, Answer]) -> None:
    """Download /d into tmp_path/inside/target."""

    async def main() -> None:
        async with hostile({"stat_many": IS_A_DIRECTORY, **answers}) as provider:
            target = tmp_path / "inside" / "target"
            async with asyncio.timeout(20):
                await download(provider, "s", "/d", target, TransferOptions())

    asyncio.run(main())


def send(asked: dict[str, Any]) -> list[bytes]:
    """Every file that is asked for, as three bytes."""
    return [began(name, "file", 3, 0o4777) + body(b"abc") + END for name, _, _ in asked["files"]]


BAD_LISTINGS = {
    "a way up": [["../evil", "file", 3]],
    "a way up in the middle": [["a/../../evil", "file", 3]],
    "an absolute name": [["/tmp/sandboxkit-evil", "file", 3]],
    "a dot": [[".", "file", 3]],
    "two slashes": [["a//b", "file", 3]],
    "a slash at the end": [["a/", "directory"]],
    "a NUL": [["a\0b", "file", 3]],
    "a part too long": [["x" * 256, "file", 3]],
    "a depth without end": [["a/" * 3000 + "b", "file", 3]],
    "a lone surrogate": [["a\ud800b", "file", 3]],
    "a link to nothing": [["l", "symlink", 0, 0o777, 0, ""]],
    "a link with a NUL": [["l", "symlink", 0, 0o777, 0, "a\0b"]],
    "a link without end": [["l", "symlink", 0, 0o777, 0, "a" * 5000]],
    "a file that has a target": [["f", "file", 3, 0o644, 0, "/etc/passwd"]],
    "a type of its own": [["f", "socket", 3]],
    "a type that is a list": [["f", ["file"], 3]],
    "a negative size": [["f", "file", -1]],
    "a size that is true": [["f", "file", True]],
    "a size beyond measure": [["f", "file", 2**63]],
    "bits beyond permissions": [["f", "file", 3, 0o100644]],
    "a time beyond measure": [["f", "file", 3, 0o644, 2**63]],
    "too many fields": [["f", "file", *[0] * 20]],
    "no fields": [[]],
    "an object": [{"name": "f"}],
    "a number": [7],
    "nothing": [None],
}


@pytest.mark.parametrize("listing", BAD_LISTINGS.values(), ids=BAD_LISTINGS)
def test_a_listing_that_leads_astray_is_refused(tmp_path: Path, listing: list[object]) -> None:
    answers: dict[str, Answer] = {
        "walk_tree": lambda _: [entries(TOP, *listing)],
        "read_many": send,
    }
    with pytest.raises(ProtocolError):
        fetch(tmp_path, answers)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not Path("/tmp/sandboxkit-evil").exists()


def test_a_link_and_then_a_file_through_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    listings = [
        [["l", "symlink", 0, 0o777, 0, str(outside)], ["l/new", "file", 3]],
        [["l", "symlink", 0, 0o777, 0, "../../outside"], ["l/mine", "file", 3]],
        [["l", "symlink", 0, 0o777, 0, str(outside)], ["l/sub", "directory", 0, 0o777]],
        [["l", "symlink", 0, 0o777, 0, str(outside)], ["l/s", "symlink", 0, 0o777, 0, "x"]],
        [["m", "symlink", 0, 0o777, 0, str(outside / "mine")], ["m", "file", 3]],
        [["l", "symlink", 0, 0o777, 0, str(outside)], ["l", "directory", 0, 0, 0, None, True]],
    ]
    before = written(outside)
    for listing in listings:
        answers: dict[str, Answer] = {
            "walk_tree": lambda _, found=listing: [entries(TOP, *found)],  # type: ignore[misc]
            "read_many": send,
        }
        with suppress(OSError):  # some are refused, some are harmless
            fetch(tmp_path, answers)
        assert os.listdir(outside) == ["mine"]
        assert (outside / "mine").read_text() == "mine"
        assert written(outside) == before


def written(path: Path) -> tuple[int, ...]:
    """What changes when a directory is written to, and not when it is read."""
    known = path.stat()
    return known.st_mode, known.st_uid, known.st_gid, known.st_nlink, known.st_mtime_ns


def test_modes_owners_and_case(tmp_path: Path) -> None:
    listing = [
        ["A", "file", 3, 0o7777],
        ["a", "directory", 0, 0o7777],
        ["a/b", "file", 3, 0o6755],
        ["a", "directory", 0, 0o7755, 0, None, True],
    ]
    fetch(tmp_path, {"walk_tree": lambda _: [entries(TOP, *listing)], "read_many": send})
    for name, mode in (("A", 0o777), ("a", 0o755), ("a/b", 0o777)):
        found = (tmp_path / "inside" / "target" / name).stat()
        assert (found.st_mode & 0o7777, found.st_uid) == (mode, os.geteuid())


BAD_CONTENTS: dict[str, list[bytes]] = {
    "another file": [began("g", "file", 3) + body(b"abc") + END],
    "a file above": [began("../f", "file", 3) + body(b"abc") + END],
    "a link": [began("f", "symlink", 0, 0o777, 0, "/etc/passwd")],
    "a directory": [began("f", "directory")],
    "more than there is": [began("f", "file", 3) + body(b"abcd") + END],
    "from beyond the end": [began("f", "file", 3, offset=4) + END],
    "from where nobody asked": [began("f", "file", 3, offset=1) + body(b"bc") + END],
    "a bad offset": [began("f", "file", 3, offset=True) + END],
    "content of nothing": [body(b"abc")],
    "an end of nothing": [END],
    "a file in a file": [began("f", "file", 3) + began("f", "file", 3)],
    "no end": [began("f", "file", 3) + body(b"abc")],
    "nothing": [],
    "twice": [(began("f", "file", 3) + body(b"abc") + END) * 2],
    "a part of a piece": [began("f", "file", 3)[:-1]],
    "an unknown piece": [b"\x63\0\0\0\0"],
    "a gibibyte at once": [began("f", "file", 2**40) + b"\x02\x40\0\0\0"],
    "entries": [entries(["f", "file", 3])],
    "an odd errno": [pieces.json_piece(pieces.END, {"name": "f", "errno": "many"})],
}


@pytest.mark.parametrize("content", BAD_CONTENTS.values(), ids=BAD_CONTENTS)
def test_content_that_was_not_asked_for_is_refused(tmp_path: Path, content: list[bytes]) -> None:
    answers: dict[str, Answer] = {
        "walk_tree": lambda _: [entries(TOP, ["f", "file", 3, 0o644])],
        "read_many": lambda _: content,
    }
    with pytest.raises(ProtocolError):
        fetch(tmp_path, answers)
    left = {path.name for path in (tmp_path / "inside" / "target").iterdir()}
    assert left <= ({"f"} if content[:1] and content[0].endswith(END) else set())


def test_a_file_that_became_a_link_is_left_out(tmp_path: Path) -> None:
    gone = pieces.json_piece(pieces.END, {"name": "f", "errno": 116})
    found = []

    async def main() -> None:
        answers: dict[str, Answer] = {
            "stat_many": IS_A_DIRECTORY,
            "walk_tree": lambda _: [entries(TOP, ["f", "file", 3, 0o644])],
            "read_many": lambda _: [gone],
        }
        async with hostile(answers) as provider:
            found.append(await download(provider, "s", "/d", tmp_path / "t", TransferOptions()))

    asyncio.run(main())
    assert [one.path for one in found[0].skipped] == ["f"]
    assert list((tmp_path / "t").iterdir()) == []


@pytest.mark.parametrize("count", [0, 2])
def test_a_wrong_number_of_answers(tmp_path: Path, count: int) -> None:
    (tmp_path / "f").write_text("x")
    same = ["f", "file", 1, 0o644]

    async def main() -> None:
        answers: dict[str, Answer] = {"stat_many": lambda _: [entries(*[same] * count)]}
        async with hostile(answers) as provider:
            with pytest.raises(ProtocolError):
                await upload(provider, "s", tmp_path / "f", "/f", TransferOptions())

    asyncio.run(main())


def test_a_listing_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandboxkit.transfer.sides.MAX_ENTRIES", 5000)
    many = [entries(*([f"d{n}", "other"] for n in range(1000)))] * 6
    with pytest.raises(ProtocolError, match="more than"):
        fetch(tmp_path, {"walk_tree": lambda _: many, "read_many": send})
