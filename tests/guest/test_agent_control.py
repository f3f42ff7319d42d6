"""The maker's line, the lifetime, and other interpreters."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guest.rawclient import ROOT, Agent, RawClient, carriers, eventually

MAKER = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from sandboxkit.guest.agent.config import AgentConfig
from sandboxkit.guest.agent.serve import serve
import os
config = AgentConfig.of_this_process()._replace(upper_fd=os.open(sys.argv[2], os.O_RDONLY))
serve(config, socket.socket(fileno=int(sys.argv[3])))
"""


class Maker:
    """An agent with a control line."""

    def __init__(self, upper: Path) -> None:
        self.line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line.settimeout(20)
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAKER, str(ROOT), str(upper), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
        )
        theirs.close()
        self.sockets: list[socket.socket] = []

    def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.line.recv(65_536))
        return message

    def say(self, message: dict[str, Any], *fds: int) -> None:
        socket.send_fds(self.line, [json.dumps(message).encode()], list(fds))

    def dial(self) -> RawClient:
        ours, theirs = socket.socketpair()
        self.sockets.append(ours)
        self.say({"do": "connect"}, theirs.fileno())
        theirs.close()
        return RawClient(ours)

    def stop(self) -> bytes:
        self.line.close()
        for sock in self.sockets:
            sock.close()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            return stderr.read()


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    place = tmp_path / "upper"
    place.mkdir()
    return place


@pytest.fixture
def maker(upper: Path) -> Iterator[Maker]:
    running = Maker(upper)
    try:
        assert running.hear() == {"event": "ready"}
        yield running
    finally:
        errors = running.stop()
    assert errors == b""


def test_clients_are_handed_over(maker: Maker) -> None:
    one, two = maker.dial(), maker.dial()
    assert one.call("start", shell="echo one").stdout == b"one\n"
    assert two.call("start", shell="echo two").stdout == b"two\n"


def test_no_descriptor_of_the_maker_reaches_a_process(maker: Maker) -> None:
    out = maker.dial().call("start", shell="ls /proc/self/fd").stdout
    assert out.split() == [b"0", b"1", b"2", b"3"]


def test_the_end_of_the_maker_is_the_end(maker: Maker) -> None:
    tag = f"TEST_TAG={uuid.uuid4().hex}"
    client = maker.dial()
    stream = client.open("start", shell="setsid sleep 99 & sleep 99", env=dict([tag.split("=")]))
    client.event(stream, "started")
    assert eventually(lambda: len(carriers(tag.encode())) >= 2)
    maker.line.close()
    assert maker.process.wait(10) == 0
    assert carriers(tag.encode()) == []


def test_senseless_messages_do_no_harm(maker: Maker) -> None:
    read_end, write_end = os.pipe()
    for message in ({}, {"do": "dance"}, {"do": "connect"}, {"do": "snapshot"}):
        maker.say(message)
        maker.say(message, read_end) if message.get("do") == "dance" else None
    os.close(read_end)
    # The descriptor that came with nonsense was closed.
    assert maker.dial().call("ping").result == {}
    with pytest.raises(BrokenPipeError):
        os.write(write_end, b"x")
    os.close(write_end)


def test_an_agent_nobody_can_reach_any_more_ends() -> None:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "sandboxkit.guest.agent", f"--connection-fd={theirs.fileno()}"],
        cwd=ROOT,
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    client = RawClient(ours)
    pid = client.event(client.open("start", argv=["sleep", "99"]), "started")["pid"]
    ours.close()
    assert process.wait(10) == 0
    assert eventually(lambda: not os.path.exists(f"/proc/{pid}"))


def test_a_lifetime_ends_the_agent_and_all_it_started(tmp_path: Path) -> None:
    tag = f"TEST_TAG={uuid.uuid4().hex}"
    agent = Agent(tmp_path, "--lifetime=1.5")
    try:
        began = time.monotonic()
        client = RawClient(agent.first)
        shell = "setsid sleep 99 & sleep 99"
        stream = client.open("start", shell=shell, bound=False, env=dict([tag.split("=")]))
        client.event(stream, "started")
        assert len(carriers(tag.encode())) >= 1
        assert agent.process.wait(10) == 0
        assert time.monotonic() - began > 1.2
        assert carriers(tag.encode()) == []
    finally:
        agent.stop()


def test_a_lifetime_is_changed_by_clients_and_maker(maker: Maker) -> None:
    client = maker.dial()
    assert client.call("set_lifetime", lifetime=60).result == {"lifetime": 60}
    assert maker.hear() == {"event": "lifetime", "lifetime": 60}
    assert client.call("set_lifetime", lifetime=None).result == {"lifetime": None}
    assert maker.hear() == {"event": "lifetime", "lifetime": None}
    assert client.call("set_lifetime", lifetime=-1).error["code"] == "bad_request"
    maker.say({"do": "set_lifetime", "lifetime": 0.2})
    assert maker.hear() == {"event": "ending", "reason": "lifetime"}
    assert maker.process.wait(10) == 0


def snapshot(maker: Maker) -> tuple[dict[str, Any], bytes]:
    read_end, write_end = os.pipe()
    maker.say({"do": "snapshot"}, write_end)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        data = pipe.read()
    return maker.hear(), data


@pytest.mark.root
def test_a_snapshot_is_a_tar_of_the_upper_directory(maker: Maker, upper: Path) -> None:
    (upper / "dir").mkdir(mode=0o750)
    (upper / "dir" / "file").write_bytes(b"content" * 100_000)
    (upper / "dir" / "empty").touch()
    os.chown(upper / "dir" / "file", 1000, 1001)
    os.utime(upper / "dir" / "file", (5, 1234567890.25))
    os.link(upper / "dir" / "file", upper / "hard")
    (upper / "link").symlink_to("dir/file")
    os.mkfifo(upper / "fifo")
    os.mknod(upper / "whiteout", 0o020000, os.makedev(0, 0))
    os.mkdir(os.fsencode(upper) + b"/\xff")
    try:
        os.setxattr(upper / "dir", "user.overlay.opaque", b"y")
        xattrs = True
    except OSError:
        xattrs = False
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(upper / "socket"))
    verdict, data = snapshot(maker)
    assert verdict == {"event": "snapshot", "ok": True}
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        members = {member.name: member for member in archive}
        linked = "hard" if members["hard"].isreg() else "dir/file"
        other = "dir/file" if linked == "hard" else "hard"
        assert archive.extractfile(linked).read() == b"content" * 100_000
    assert members[other].islnk()
    assert members[other].linkname == linked
    file = members[linked]
    assert (file.uid, file.gid) == (1000, 1001)
    assert abs(file.mtime - 1234567890.25) < 1e-5
    assert members["dir"].mode == 0o750
    assert members["link"].linkname == "dir/file"
    assert members["fifo"].isfifo()
    assert members["dir/empty"].size == 0
    whiteout = members["whiteout"]
    assert (whiteout.ischr(), whiteout.devmajor, whiteout.devminor) == (True, 0, 0)
    assert "\udcff" in members
    assert "socket" not in members
    if xattrs:
        assert members["dir"].pax_headers["SCHILY.xattr.user.overlay.opaque"] == "y"


@pytest.mark.root
def test_a_snapshot_keeps_times_to_the_nanosecond(maker: Maker, upper: Path) -> None:
    times = {"late": 1_234_567_890_123_456_789, "early": -1_500_000_001, "even": 7_000_000_000}
    for name, nanoseconds in times.items():
        (upper / name).touch()
        os.utime(upper / name, ns=(0, nanoseconds))
    with tarfile.open(fileobj=io.BytesIO(snapshot(maker)[1])) as archive:
        found = {name: archive.getmember(name).pax_headers["mtime"] for name in times}
    assert found == {"late": "1234567890.123456789", "early": "-1.500000001", "even": "7.000000000"}


@pytest.mark.root
def test_a_snapshot_leaves_holes_out(maker: Maker, upper: Path) -> None:
    mebi = 1 << 20
    contents = {
        "holes": (1 << 40, {3 * mebi: b"a" * 5000, 1 << 39: b"b" * mebi, (1 << 40) - 3: b"end"}),
        "hole": (mebi, {}),
        "small": (8192, {}),
        "dense": (mebi, {0: b"c" * mebi}),
    }
    for name, (size, pieces) in contents.items():
        with open(upper / name, "wb") as file:
            for offset, piece in pieces.items():
                file.seek(offset)
                file.write(piece)
            file.truncate(size)
            os.fsync(file.fileno())
            if os.lseek(file.fileno(), 0, os.SEEK_HOLE) == mebi and not pieces:
                pytest.skip("this file system knows no holes")
    verdict, data = snapshot(maker)
    assert verdict == {"event": "snapshot", "ok": True}
    assert len(data) < 4 * mebi
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for name, (size, pieces) in contents.items():
            member = archive.getmember(name)
            extracted = archive.extractfile(member)
            assert extracted is not None
            stored = extracted.read()
            headers = member.pax_headers
            if name in ("small", "dense"):
                assert "SANDBOXKIT.sparse" not in headers
                assert stored == (pieces[0] if pieces else bytes(size))
                continue
            assert int(headers["SANDBOXKIT.size"]) == size
            segments = [
                tuple(map(int, pair.split(","))) for pair in headers["SANDBOXKIT.sparse"].split(";")
            ]
            assert sum(length for _, length in segments) == len(stored)
            at = 0
            for offset, length in segments:
                assert 0 <= offset <= offset + length <= size
                for where, piece in pieces.items():
                    if offset <= where < offset + length:
                        begin = at + where - offset
                        assert stored[begin : begin + len(piece)] == piece
                at += length
            wanted = sum(map(len, pieces.values()))
            assert len(stored.replace(b"\0", b"")) == wanted


def test_the_sandbox_goes_on_while_a_snapshot_waits(maker: Maker, upper: Path) -> None:
    (upper / "big").write_bytes(os.urandom(5 << 20))
    client = maker.dial()
    read_end, write_end = os.pipe()
    maker.say({"do": "snapshot"}, write_end)
    os.close(write_end)
    assert client.call("start", shell="echo on").stdout == b"on\n"
    with os.fdopen(read_end, "rb") as pipe:
        pipe.read(1000)
        client.bye()
        pipe.read()
    assert maker.hear() == {"event": "snapshot", "ok": True}


def test_a_snapshot_nobody_takes_is_reported(maker: Maker, upper: Path) -> None:
    (upper / "big").write_bytes(bytes(5 << 20))
    read_end, write_end = os.pipe()
    os.close(read_end)
    maker.say({"do": "snapshot"}, write_end)
    os.close(write_end)
    verdict = maker.hear()
    assert verdict["ok"] is False
    assert "BrokenPipe" in verdict["error"]


def interpreters() -> list[str]:
    versions = Path.home() / ".pyenv" / "versions"
    return [str(path) for path in sorted(versions.glob("3.*/bin/python3")) if _recent(path)]


def _recent(path: Path) -> bool:
    return int(path.parts[-3].split(".")[1]) >= 8


@pytest.mark.parametrize("python", interpreters())
def test_it_runs_on_every_interpreter_there_is(python: str, tmp_path: Path) -> None:
    agent = Agent(tmp_path, python=python)
    try:
        client = RawClient(agent.first)
        outcome = client.call("start", shell="echo out; setsid sleep 50 & sleep 50", timeout=0.3)
        assert outcome.stdout == b"out\n"
        assert outcome.event("exited")["timed_out"]
        stream = client.open("write", path=str(tmp_path / "a" / "b"))
        client.write(stream, bytes(100_000))
        assert client.finish(stream).result == {"size": 100_000}
        assert len(client.call("read", path=str(tmp_path / "a" / "b")).data[0]) == 100_000
        assert len(client.call("list", path=str(tmp_path), depth=3).events[0]["entries"]) == 3
        assert client.call("remove", path=str(tmp_path / "a"), recursive=True).result == {}
        assert client.call("start", argv=["no-such-program"]).event("exited")["code"] == 127
    finally:
        agent.stop()
    assert agent.errors == b""
