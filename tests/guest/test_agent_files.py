from __future__ import annotations

import errno
import os
import random
import socket
import stat
import threading
import time
from pathlib import Path

import pytest

from sandboxkit.guest.agent import frames
from tests.guest.rawclient import Agent, RawClient, eventually

MIB = 1 << 20


def write(client: RawClient, path: Path | str, data: bytes, **arguments: object) -> object:
    stream = client.open("write", path=str(path), **arguments)
    client.write(stream, data)
    outcome = client.finish(stream)
    return outcome.error or outcome.result


def failure(client: RawClient, op: str, **arguments: object) -> tuple[str, int | None]:
    outcome = client.call(op, **arguments)
    assert outcome.error is not None, outcome.result
    if outcome.error["code"] == "errno":
        assert outcome.error["path"] == arguments["path"]
    return outcome.error["code"], outcome.error.get("errno")


@pytest.mark.parametrize("size", [0, 1, frames.MAX_DATA, frames.WINDOW, frames.WINDOW + 1, 5 * MIB])
def test_what_was_written_is_read_back(client: RawClient, tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    path = tmp_path / "new" / "deeper" / "file"
    assert write(client, path, data) == {"size": size}
    assert path.read_bytes() == data
    outcome = client.call("read", path=str(path))
    assert bytes(outcome.data[0]) == data
    assert outcome.order[-1] == "fin0"
    assert outcome.result == {"size": size}
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert os.listdir(path.parent) == ["file"]


def test_a_part_is_read(client: RawClient, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    for offset, length, expected in [(2, 3, b"234"), (8, 99, b"89"), (10, None, b""), (99, 5, b"")]:
        outcome = client.call("read", path=str(tmp_path / "f"), offset=offset, length=length)
        assert bytes(outcome.data[0]) == expected
    assert client.call("read", path=str(tmp_path / "f"), length=0).result == {"size": 0}


def test_files_whose_size_says_nothing_are_read(client: RawClient) -> None:
    assert b"processor" in client.call("read", path="/proc/cpuinfo").data[0]


def test_a_slow_reader_costs_no_memory(agent: Agent, client: RawClient, tmp_path: Path) -> None:
    with open(tmp_path / "big", "wb") as file:
        file.truncate(200 * MIB)
    client.call("ping")
    before = agent.rss()
    stream = client.open("read", path=str(tmp_path / "big"))
    client.stalled.add(stream)
    got = 0
    while got < frames.WINDOW:
        got += len(client.frame(stream).payload)
    client.call("ping")
    assert not client.inbox[stream]
    client.stalled.clear()
    client.send(frames.encode_credit(stream, 0, frames.WINDOW))
    assert len(client.finish(stream).data[0]) == 200 * MIB - frames.WINDOW
    assert agent.rss(peak=True) - before < 8 * MIB


def test_the_mode_of_a_replaced_file_is_kept(client: RawClient, tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text("old")
    path.chmod(0o751)
    write(client, path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o751
    write(client, path, b"new", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == b"new"


def test_a_write_is_atomic(client: RawClient, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    stream = client.open("write", path=str(path))
    client.write(stream, b"n" * MIB, fin=False)
    client.call("ping")
    assert path.read_bytes() == b"old"
    client.write(stream, b"!")
    assert client.finish(stream).result == {"size": MIB + 1}
    assert path.read_bytes() == b"n" * MIB + b"!"


def test_an_unfinished_write_leaves_nothing(
    agent: Agent, client: RawClient, tmp_path: Path
) -> None:
    for end in ("reset", "lost", "bye"):
        place = tmp_path / end
        place.mkdir()
        (place / "file").write_bytes(b"old")
        other = agent.dial()
        stream = other.open("write", path=str(place / "file"))
        other.write(stream, b"new", fin=False)
        other.call("ping")
        assert len(os.listdir(place)) == 2
        if end == "reset":
            other.reset(stream)
            assert other.finish(stream).result is not None
        elif end == "bye":
            other.bye()
        else:
            other.sock.close()
        assert eventually(lambda place=place: os.listdir(place) == ["file"])
        assert (place / "file").read_bytes() == b"old"


def test_through_a_symlink_the_target_is_replaced(client: RawClient, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("dir/target")
    (tmp_path / "dangling").symlink_to("dir/fresh")
    (tmp_path / "loop").symlink_to("loop")
    write(client, tmp_path / "link", b"new")
    write(client, tmp_path / "dangling", b"fresh")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "dir" / "target").read_bytes() == b"new"
    assert (tmp_path / "dangling").is_symlink()
    assert (tmp_path / "dir" / "fresh").read_bytes() == b"fresh"
    error = write(client, tmp_path / "loop", b"")
    assert isinstance(error, dict)
    assert error["errno"] == errno.ELOOP


def test_what_is_no_file_is_an_error_and_never_waits(client: RawClient, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dir").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        began = time.monotonic()
        for path, number in [
            (tmp_path / "fifo", errno.EINVAL),
            (tmp_path / "dir", errno.EISDIR),
            (tmp_path / "socket", errno.EINVAL),
            (Path("/dev/null"), errno.EINVAL),
            (tmp_path / "missing" / "x", errno.ENOENT),
        ]:
            assert failure(client, "read", path=str(path)) == ("errno", number)
            if number != errno.ENOENT:
                assert failure(client, "write", path=str(path)) == ("errno", number)
    assert time.monotonic() - began < 5
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    (tmp_path / "file").touch()
    for op in ("read", "write", "stat", "list", "mkdir"):
        path = str(tmp_path / "file" / "x")
        assert failure(client, op, path=path) == ("errno", errno.ENOTDIR)
    assert failure(client, "write", path=f"{tmp_path}/new/") == ("errno", errno.EISDIR)


@pytest.mark.parametrize("op", ["read", "write", "stat", "list", "mkdir", "remove", "rename"])
@pytest.mark.parametrize("path", [None, "", "relative", 5, "/a\0b", "/\ud800"])
def test_bad_paths(client: RawClient, op: str, path: object) -> None:
    assert failure(client, op, path=path, target="/x")[0] == "bad_request"


def test_bad_arguments(client: RawClient, tmp_path: Path) -> None:
    for op, arguments in [
        ("read", {"offset": -1}),
        ("read", {"length": "all"}),
        ("write", {"mode": 0o10000}),
        ("list", {"depth": 0}),
        ("mkdir", {"mode": -1}),
        ("rename", {"target": "relative"}),
        ("remove", {"recursive": "yes"}),
    ]:
        assert failure(client, op, path=str(tmp_path), **arguments)[0] == "bad_request", op


def test_stat(client: RawClient, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "file").chmod(0o640)
    os.utime(tmp_path / "file", (1, 1234567890.5))
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    result = client.call("stat", path=str(tmp_path / "file")).result
    owner = client.call("start", shell="id -un").stdout.decode().strip()
    group = client.call("start", shell="id -gn").stdout.decode().strip()
    assert result == {
        "path": str(tmp_path / "file"),
        "type": "file",
        "size": 5,
        "mode": 0o640,
        "owner": owner,
        "group": group,
        "mtime": 1234567890.5,
        "target": None,
    }
    link = client.call("stat", path=str(tmp_path / "link")).result
    assert (link["type"], link["target"]) == ("symlink", "nowhere")
    assert client.call("stat", path=str(tmp_path / "fifo")).result["type"] == "other"
    assert client.call("stat", path=str(tmp_path)).result["type"] == "directory"
    assert failure(client, "stat", path=str(tmp_path / "none")) == ("errno", errno.ENOENT)


def test_names_that_are_not_text(client: RawClient, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe"
    path = name.decode("utf-8", "surrogateescape")
    write(client, path, b"bytes")
    assert os.listdir(os.fsencode(tmp_path))  # the bytes API sees it
    assert os.path.exists(name)
    assert client.call("read", path=path).data[0] == b"bytes"
    (entry,) = client.call("list", path=str(tmp_path)).events[0]["entries"][:1]
    assert path in [entry["path"], *_paths(client, tmp_path)]


def _paths(client: RawClient, path: Path, depth: int = 1) -> list[str]:
    outcome = client.call("list", path=str(path), depth=depth)
    assert outcome.error is None
    return [entry["path"] for event in outcome.events for entry in event["entries"]]


def test_list(client: RawClient, tmp_path: Path) -> None:
    place = tmp_path / "top"
    (place / "a" / "b" / "c").mkdir(parents=True)
    (place / "f").touch()
    (place / "a" / "up").symlink_to("..")
    top = str(place)
    assert sorted(_paths(client, place)) == [f"{top}/a", f"{top}/f"]
    assert sorted(_paths(client, place, 2)) == [f"{top}/{n}" for n in ("a", "a/b", "a/up", "f")]
    assert f"{top}/a/b/c" in _paths(client, place, 99)
    assert _paths(client, place / "a" / "b" / "c") == []
    assert failure(client, "list", path=f"{top}/f") == ("errno", errno.ENOTDIR)
    assert failure(client, "list", path=f"{top}/none") == ("errno", errno.ENOENT)


def test_long_walks_let_others_in(agent: Agent, client: RawClient, tmp_path: Path) -> None:
    place = tmp_path / "many"
    for n in range(60):
        (place / str(n)).mkdir(parents=True)
        for m in range(100):
            (place / str(n) / str(m)).touch()
    client.call("ping")
    listing = client.open("list", path=str(place), depth=5)
    ping = client.open("ping")
    while client.frame(ping).type != frames.RESULT:
        pass
    # The answer came although the listing, asked for before, was not done.
    assert frames.RESULT not in [frame.type for frame in client.inbox[listing]]
    outcome = client.finish(listing)
    assert sum(len(event["entries"]) for event in outcome.events) == 60 * 101
    removal = client.open("remove", path=str(place), recursive=True)
    ping = client.open("ping")
    while client.frame(ping).type != frames.RESULT:
        pass
    assert not client.inbox[removal]
    assert client.finish(removal).result == {}
    assert not place.exists()


def test_remove(client: RawClient, tmp_path: Path) -> None:
    place = tmp_path / "top"
    (place / "a").mkdir(parents=True)
    (place / "a" / "f").touch()
    (tmp_path / "outside").write_text("stays")
    (place / "link").symlink_to(tmp_path)
    (place / "broken").symlink_to("nowhere")
    assert failure(client, "remove", path=str(place)) == ("errno", errno.EISDIR)
    assert client.call("remove", path=str(place / "broken")).result == {}
    assert client.call("remove", path=str(place), recursive=True).result == {}
    assert not place.exists()
    assert (tmp_path / "outside").read_text() == "stays"
    assert client.call("remove", path=str(tmp_path / "outside")).result == {}
    assert failure(client, "remove", path=str(place)) == ("errno", errno.ENOENT)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "f").touch()
    (tmp_path / "link").symlink_to("target")
    assert client.call("remove", path=str(tmp_path / "link"), recursive=True).result == {}
    assert (tmp_path / "target" / "f").exists()


def test_a_tree_deeper_than_any_path_is_removed(client: RawClient, tmp_path: Path) -> None:
    name, here = "d" * 200, os.getcwd()
    (tmp_path / "top").mkdir()
    try:
        os.chdir(tmp_path / "top")
        for _ in range(60):
            os.mkdir(name)
            os.chdir(name)
            Path("f").touch()
    finally:
        os.chdir(here)
    assert client.call("remove", path=str(tmp_path / "top"), recursive=True).result == {}
    assert not (tmp_path / "top").exists()


def test_mkdir(client: RawClient, tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    assert failure(client, "mkdir", path=str(deep), parents=False) == ("errno", errno.ENOENT)
    assert client.call("mkdir", path=str(deep), mode=0o777).result == {}
    assert stat.S_IMODE(deep.stat().st_mode) == 0o777
    assert stat.S_IMODE(deep.parent.stat().st_mode) == 0o755
    assert client.call("mkdir", path=f"{deep}/").result == {}
    assert failure(client, "mkdir", path=str(deep), parents=False) == ("errno", errno.EEXIST)
    (tmp_path / "file").touch()
    assert failure(client, "mkdir", path=str(tmp_path / "file")) == ("errno", errno.EEXIST)


def test_rename(client: RawClient, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1")
    (tmp_path / "two").write_text("2")
    arguments = {"path": str(tmp_path / "one"), "target": str(tmp_path / "two")}
    assert client.call("rename", **arguments).result == {}
    assert (tmp_path / "two").read_text() == "1"
    assert failure(client, "rename", **arguments) == ("errno", errno.ENOENT)


def test_a_pipe_that_replaces_a_file_does_not_stop_the_agent(
    client: RawClient, tmp_path: Path
) -> None:
    path, spare = tmp_path / "file", tmp_path / "spare"
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            spare.write_text("x")
            os.replace(spare, path)
            os.mkfifo(spare)
            os.replace(spare, path)

    path.touch()
    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(300):
            outcome = client.call("read", path=str(path))
            assert outcome.error is None or outcome.error["errno"] == errno.EINVAL
    finally:
        stop.set()
        swapper.join()
