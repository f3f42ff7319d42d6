"""The guest's operations on directory trees, frame by frame."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import stat
from pathlib import Path
from typing import Any

import pytest

from sandboxkit.guest.agent import frames, pieces
from sandboxkit.guest.agent.treeentry import LEAST_PART, Entry, from_wire, part_name, to_wire
from tests.guest.rawclient import Agent, RawClient, eventually

MIB = 1 << 20
PART = ".sandboxkit-part-"


def told(data: bytes | bytearray) -> list[tuple[int, Any]]:
    """Pieces, their JSON read."""
    return [
        (kind, payload if kind == pieces.CONTENT else pieces.payload_of(payload))
        for kind, payload in pieces.Decoder().feed(data)
    ]


def entries(client: RawClient, op: str, **arguments: Any) -> list[Entry | None]:
    outcome = client.call(op, **arguments)
    assert outcome.error is None, outcome.error
    return [
        None if value is None else from_wire(value)
        for _, payload in told(outcome.data[0])
        for value in payload["entries"]
    ]


def begin(name: str, size: int = 0, offset: int = 0, **more: Any) -> bytes:
    entry = Entry(name, more.pop("type", "file"), size, more.pop("mode", 0o644), **more)
    return pieces.json_piece(pieces.BEGIN, {"entry": to_wire(entry), "offset": offset})


def body(data: bytes) -> bytes:
    cut = [data[start : start + 65536] for start in range(0, len(data), 65536)]
    return b"".join(b"".join(pieces.content_piece(piece)) for piece in cut)


def end(number: int = 0) -> bytes:
    return pieces.json_piece(pieces.END, {"errno": number})


def write_many(client: RawClient, top: Path, data: bytes, **more: Any) -> dict[str, Any]:
    stream = client.open("write_many", path=str(top), **more)
    client.write(stream, data)
    outcome = client.finish(stream)
    assert outcome.error is None, outcome.error
    assert outcome.result is not None
    return outcome.result


def refused(client: RawClient, top: Path, data: bytes) -> dict[str, Any]:
    stream = client.open("write_many", path=str(top))
    client.write(stream, data)
    outcome = client.finish(stream)
    assert outcome.error is not None
    return outcome.error


def test_a_walk_tells_of_everything_in_order(client: RawClient, tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "d" / "e").mkdir(parents=True)
    (top / "d" / "f").write_bytes(b"12345")
    (top / "d" / "link").symlink_to("/abs")
    (top / f"{PART}f").write_bytes(b"p")
    os.mkfifo(top / "fifo")
    os.utime(top / "d" / "f", ns=(1, 123_456_789_012_345_678))
    found = {}
    order = []
    for entry in entries(client, "walk_tree", path=str(top)):
        assert entry is not None
        order.append((entry.name, entry.leaving))
        found[entry.name] = entry
    assert set(found) == {"", "d", "d/e", "d/f", "d/link", "fifo"}
    assert (order[0], order[-1]) == (("", False), ("", True))
    assert order.index(("d", False)) < order.index(("d/f", False)) < order.index(("d", True))
    assert order.index(("d", False)) < order.index(("d/e", True)) < order.index(("d", True))
    assert found["d/f"][:5] == ("d/f", "file", 5, 0o644, 123_456_789_012_345_678)
    assert found["d/link"].target == "/abs"
    assert found["fifo"].type == "other"


def test_a_deep_and_a_wide_tree_are_walked_in_little_memory(
    agent: Agent, client: RawClient, tmp_path: Path
) -> None:
    deep = tmp_path / "top"
    deep.mkdir()
    here = os.open(deep, os.O_RDONLY)
    for _ in range(400):  # far more levels than may be open at once
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    names = {entry.name for entry in entries(client, "walk_tree", path=str(deep)) if entry}
    assert "d/" * 400 + "bottom" in names
    wide = tmp_path / "wide"
    wide.mkdir()
    for number in range(20_000):
        os.close(os.open(wide / f"{number:0100}", os.O_CREAT | os.O_WRONLY))
    client.call("ping")
    before = agent.rss(peak=True)
    stream = client.open("walk_tree", path=str(wide))
    client.stalled.add(stream)
    got = 0
    while got < frames.WINDOW:
        got += len(client.frame(stream).payload)
    client.call("ping")
    assert not client.inbox[stream]
    client.stalled.clear()
    client.send(frames.encode_credit(stream, 0, frames.WINDOW))
    client.finish(stream)
    assert agent.rss(peak=True) - before < 16 * MIB  # a sixth of the file, and of no chunk's size


def test_many_are_looked_at_at_once(client: RawClient, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "l").symlink_to("a")
    (tmp_path / f"{PART}b").write_bytes(bytes(7))
    (tmp_path / f"{PART}a").write_bytes(bytes(8))
    names = ["a", "none", "l", "a/below", "l/below", "b", "", "a"]
    found = entries(client, "stat_many", path=str(tmp_path), names=names)
    assert [None if one is None else one.type for one in found] == [
        *("file", None, "symlink", None, None, "other", "directory", "file")
    ]
    assert [one.partial for one in found if one] == [8, 0, 7, 0, 8]
    assert entries(client, "stat_many", path=str(tmp_path / "no"), names=["", "x"]) == [None, None]


def test_checksums_of_files_and_of_how_they_begin(client: RawClient, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3 * MIB + 5)
    (tmp_path / "f").write_bytes(data)
    (tmp_path / f"{PART}f").write_bytes(data[:10])
    (tmp_path / "l").symlink_to("f")
    os.mkfifo(tmp_path / "p")
    asked = [
        *(["f", None, False], ["f", 2 * MIB, False], ["f", len(data) + 1, False]),
        *(["f", 10, True], ["l", None, False], ["p", None, False], ["f", 0, False]),
    ]
    outcome = client.call("digest_many", path=str(tmp_path), files=asked)
    assert outcome.result is not None
    digests = [hashlib.sha256(piece).hexdigest() for piece in (data, data[: 2 * MIB], data[:10])]
    empty = hashlib.sha256().hexdigest()
    assert outcome.result["digests"] == [*digests[:2], None, digests[2], None, None, empty]


def test_many_are_read_on_one_stream(client: RawClient, tmp_path: Path) -> None:
    data = random.Random(2).randbytes(200_000)
    (tmp_path / "f").write_bytes(data)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "l").symlink_to("f")
    (tmp_path / "d").mkdir()
    mtime = (tmp_path / "f").stat().st_mtime_ns
    asked = [
        *(["f", 0, 0], ["none", 0, 0], ["empty", 5, mtime], ["l", 0, 0], ["d", 0, 0]),
        *(["l/x", 0, 0], ["f", 150_000, mtime], ["f", 150_000, mtime - 1]),
    ]
    outcome = client.call("read_many", path=str(tmp_path), files=asked)
    files: list[tuple[Any, ...]] = []
    for kind, payload in told(outcome.data[0]):
        if kind == pieces.BEGIN:
            files.append((payload["entry"][0], payload["offset"], bytearray()))
        elif kind == pieces.CONTENT:
            files[-1][2].extend(payload)
        elif payload["errno"]:
            files.append((payload["name"], payload["errno"]))
    assert files == [
        ("f", 0, data),
        ("none", errno.ENOENT),
        ("empty", 0, b""),
        ("l", errno.ESTALE),
        ("d", errno.ESTALE),
        ("l/x", errno.ENOTDIR),
        ("f", 150_000, data[150_000:]),
        ("f", 0, data),  # it has changed since
    ]
    assert outcome.result == {}


def test_what_a_file_of_the_kernels_holds_is_read_to_its_end(client: RawClient) -> None:
    """They say that they are empty."""
    outcome = client.call("read_many", path="/proc", files=[["version", 0, 0], ["nothing", 0, 0]])
    begun, content, ended, missing = told(outcome.data[0])
    assert content == (pieces.CONTENT, Path("/proc/version").read_bytes())
    assert begun[1]["entry"][2] == len(content[1])
    assert (ended[1]["errno"], missing[1]["errno"]) == (0, errno.ENOENT)


def test_many_are_written_on_one_stream(client: RawClient, tmp_path: Path) -> None:
    data = random.Random(3).randbytes(300_000)
    top = tmp_path / "new" / "top"
    sent = [
        begin("d", type="directory", mode=0o500),
        *(begin("d/f", len(data), mode=0o640, mtime_ns=5), body(data), end()),
        *(begin("d/e", mode=0o600), end()),
        begin("d/l", type="symlink", target="f", mtime_ns=7),
        *(begin("bad", 9), body(b"half"), end(errno.EIO)),
        begin("d", type="directory", mode=0o500, mtime_ns=9, leaving=True),
        begin("d/f", mode=0o600, mtime_ns=11, leaving=True),
    ]
    assert write_many(client, top, b"".join(sent), mode=0o711) == {"items": 6}
    assert (top / "d" / "f").read_bytes() == data
    assert sorted(os.listdir(top)) == ["d"]
    assert sorted(os.listdir(top / "d")) == ["e", "f", "l"]
    for name, mode, mtime in (("d", 0o500, 9), ("d/f", 0o600, 11), ("d/e", 0o600, 0)):
        info = (top / name).stat()
        assert (stat.S_IMODE(info.st_mode), info.st_mtime_ns) == (mode, mtime), name
    link = (top / "d" / "l").lstat()
    assert (os.readlink(top / "d" / "l"), link.st_mtime_ns) == ("f", 7)
    assert stat.S_IMODE(top.stat().st_mode) == 0o711
    (top / "d").chmod(0o700)


BAD = {
    "content of nothing": body(b"x"),
    "an end of nothing": end(),
    "a file in a file": begin("f") + begin("g"),
    "the end within a file": begin("f") + body(b"x"),
    "the end within a piece": begin("f")[:-1],
    "an unknown piece": b"\x09\0\0\0\0",
    "entries": pieces.json_piece(pieces.ENTRIES, {"entries": []}),
    "content of a gibibyte": b"\x02\x40\0\0\0",
    "no JSON": b"\x01\0\0\0\x02[]",
    "no entry": pieces.json_piece(pieces.BEGIN, {}),
    "an entry of another shape": pieces.json_piece(pieces.BEGIN, {"entry": ["f", "file", "x"]}),
    "a bad offset": pieces.json_piece(pieces.BEGIN, {"entry": ["f", "file"], "offset": -1}),
    "a link to nowhere": pieces.json_piece(pieces.BEGIN, {"entry": ["l", "symlink"]}),
    **{
        f"the name {name!r}": pieces.json_piece(pieces.BEGIN, {"entry": [name, "file"]}) + end()
        for name in ("../f", "/f", "d/../../f", "a//b", ".", "a/", "a\0b", "x" * 256, "a/" * 2049)
    },
}


@pytest.mark.parametrize("data", BAD.values(), ids=[name[:40] for name in BAD])
def test_what_makes_no_sense_is_refused(client: RawClient, tmp_path: Path, data: bytes) -> None:
    top = tmp_path / "top"
    assert refused(client, top, data)["code"] == "bad_request"
    assert os.listdir(top) == []
    assert client.call("ping").result == {}


@pytest.mark.parametrize(
    ("op", "arguments"),
    [
        ("walk_tree", {"path": "relative"}),
        ("stat_many", {"names": "x"}),
        ("stat_many", {"names": [1]}),
        ("stat_many", {"names": ["../x"]}),
        ("stat_many", {"names": ["x"] * 4097}),
        ("read_many", {"files": [["x", 0]]}),
        ("read_many", {"files": [["x", -1, 0]]}),
        ("read_many", {"files": [["/x", 0, 0]]}),
        ("digest_many", {"files": [["x", True, False]]}),
        ("digest_many", {"files": [["x", None, 1]]}),
        ("write_many", {"mode": 0o10000}),
    ],
)
def test_bad_arguments(
    client: RawClient, tmp_path: Path, op: str, arguments: dict[str, Any]
) -> None:
    outcome = client.call(op, **{"path": str(tmp_path), **arguments})
    assert outcome.error is not None
    assert outcome.error["code"] == "bad_request"


def test_no_link_is_followed(client: RawClient, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(b"theirs")
    top = tmp_path / "top"
    top.mkdir()
    (top / "d").symlink_to(outside)
    (top / "f").symlink_to(outside / "f")
    (top / f"{PART}g").symlink_to(outside / "g")
    os.link(outside / "f", top / f"{PART}h")
    error = refused(client, top, begin("d/new", 1) + body(b"x") + end())
    assert (error["errno"], error["path"]) == (errno.ENOTDIR, f"{top}/d/new")
    data = b"".join(begin(name, 4) + body(b"ours") + end() for name in ("f", "g", "h"))
    write_many(client, top, data)
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"f": b"theirs"}
    for name in ("f", "g", "h"):
        assert not (top / name).is_symlink()
        assert (top / name).read_bytes() == b"ours"
    write_many(client, top, begin("d", type="directory", mode=0o755))
    assert not (top / "d").is_symlink()


def goes_on(client: RawClient, top: Path, data: bytes) -> bool:
    """Whether a file can be completed from what is there of it; not while another writes it."""
    kept = (top / f"{PART}f").read_bytes()
    assert len(kept) >= LEAST_PART
    assert data.startswith(kept)
    stream = client.open("write_many", path=str(top))
    client.write(stream, begin("f", len(data), len(kept)) + body(data[len(kept) :]) + end())
    error = client.finish(stream).error
    assert error is None or error["errno"] == errno.EBUSY
    return error is None


def test_what_a_cut_leaves(agent: Agent, client: RawClient, tmp_path: Path) -> None:
    data = random.Random(4).randbytes(2 * MIB)
    for name, size, left in (("large", len(data), True), ("small", LEAST_PART - 1, False)):
        for how in ("cut", "reset"):
            top = tmp_path / f"{name}-{how}"
            other = agent.dial()
            stream = other.open("write_many", path=str(top))
            other.write(stream, begin("f", 3 * MIB) + body(data[:size]), fin=False)
            while other.credit[stream] < frames.WINDOW // 2:
                other.pump()  # most of it has been written
            if how == "cut":
                other.sock.close()
            else:
                other.reset(stream)
                other.finish(stream)
            expected = [f"{PART}f"] if left else []
            assert eventually(lambda e=expected, t=top: t.exists() and os.listdir(t) == e)  # type: ignore[misc]
            if left:
                # That nobody writes it any more is seen when another may.
                assert eventually(lambda t=top: goes_on(client, t, data))  # type: ignore[misc]
                assert (top / "f").read_bytes() == data
                assert os.listdir(top) == ["f"]
    error = refused(client, tmp_path, begin("none", 9, offset=5) + body(b"1234") + end())
    assert error["errno"] == errno.ESTALE


def test_two_do_not_write_the_same_file(client: RawClient, tmp_path: Path) -> None:
    stream = client.open("write_many", path=str(tmp_path))
    client.write(stream, begin("f", 4) + body(b"fi"), fin=False)
    client.call("ping")
    error = refused(client, tmp_path, begin("f", 6) + body(b"second") + end())
    assert (error["errno"], error["path"]) == (errno.EBUSY, f"{tmp_path}/f")
    client.write(stream, body(b"rs") + end())
    assert client.finish(stream).result == {"items": 1}
    assert (tmp_path / "f").read_bytes() == b"firs"


def test_a_name_that_leaves_no_room_for_a_prefix(client: RawClient, tmp_path: Path) -> None:
    names = ["x" * 255, "x" * 254 + "y", "ü" * 127]
    for name in names:
        assert len(part_name(name.encode())) <= 255
    assert len({part_name(name.encode()) for name in names}) == 3
    top = tmp_path / "top"
    write_many(client, top, b"".join(begin(n, 1) + body(b"1") + end() for n in names))
    assert sorted(os.listdir(top)) == sorted(names)


def test_others_are_served_meanwhile(agent: Agent, client: RawClient, tmp_path: Path) -> None:
    with open(tmp_path / "big", "wb") as file:
        file.truncate(1 << 30)
    hashing = client.open("digest_many", path=str(tmp_path), files=[["big", None, False]])
    many = b"".join(begin(f"f{number}") + end() for number in range(2000))
    writing = client.open("write_many", path=str(tmp_path / "many"))
    client.write(writing, many)
    for _ in range(3):
        assert client.call("ping").result == {}
    assert not client.inbox[writing], "the pings waited for all the files"
    for _ in range(20):
        assert client.call("ping").result == {}
    assert not client.inbox[hashing], "the ping waited for the hash"
    assert client.finish(writing).result == {"items": 2000}
    client.reset(hashing)
    assert client.finish(hashing).result == {}


def test_a_large_file_costs_no_memory(agent: Agent, client: RawClient, tmp_path: Path) -> None:
    with open(tmp_path / "big", "wb") as file:
        file.truncate(100 * MIB)
    client.call("ping")
    before = agent.rss(peak=True)
    outcome = client.call("read_many", path=str(tmp_path), files=[["big", 0, 0]])
    assert len(outcome.data[0]) > 100 * MIB
    stream = client.open("write_many", path=str(tmp_path))
    client.write(stream, begin("copy", 100 * MIB) + body(bytes(100 * MIB)) + end())
    assert client.finish(stream).result == {"items": 1}
    assert agent.rss(peak=True) - before < 16 * MIB  # a sixth of the file, and of no chunk's size
