"""Acting as other users, which takes uid 0."""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.rawclient import Agent, RawClient, carriers

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.getuid() != 0, reason="only uid 0 can become others"),
]
OTHER = "65534"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that everybody can reach, with one of the other user's in it."""
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", int(OTHER), int(OTHER))
    (tmp_path / "secret").write_text("root's")
    (tmp_path / "secret").chmod(0o600)
    return tmp_path


@pytest.fixture
def client(place: Path) -> Iterator[RawClient]:
    agent = Agent(place, "--switch-users", extra_groups=[0, 4])
    try:
        yield RawClient(agent.first)
        identity = Path(f"/proc/{agent.pid}/status").read_text()
        assert "Uid:\t0\t0\t0\t0\n" in identity
        assert "Gid:\t0\t0\t0\t0\n" in identity
        assert "Groups:\t0 4 \n" in identity
    finally:
        agent.stop()
    assert agent.errors == b""


def test_a_process_is_wholly_the_other_user(client: RawClient, place: Path) -> None:
    shell = "grep -E '^(Uid|Gid|Groups|CapEff|CapPrm)' /proc/self/status; cat secret"
    outcome = client.call("start", shell=shell, user=OTHER)
    lines = [line.split() for line in outcome.stdout.splitlines()]
    assert lines[0] == [b"Uid:"] + [OTHER.encode()] * 4
    assert lines[1] == [b"Gid:"] + [OTHER.encode()] * 4
    assert lines[2][1:] == [OTHER.encode()]
    assert [line[1].strip(b"0") for line in lines[3:]] == [b"", b""]
    assert b"Permission denied" in outcome.stderr
    assert client.call("start", shell="cat secret").stdout == b"root's"


def test_names_and_homes_come_from_passwd(client: RawClient) -> None:
    outcome = client.call("start", shell='echo "$USER $LOGNAME $HOME"; id -un', user="daemon")
    assert outcome.stdout == b"daemon daemon /usr/sbin\ndaemon\n"
    assert client.call("start", shell="id", user="no-such-one").error["code"] == "no_such_user"
    assert client.call("start", shell="id -u", user="12345").stdout == b"12345\n"
    assert client.call("start", shell="id", user="99999999999").error["code"] == "no_such_user"


def test_pipes_belong_to_the_user(client: RawClient) -> None:
    outcome = client.call("start", shell="echo a > /dev/stdout; echo b > /dev/stderr", user=OTHER)
    assert (outcome.stdout, outcome.stderr) == (b"a\n", b"b\n")


def test_a_cwd_closed_to_the_user(client: RawClient, place: Path) -> None:
    (place / "closed").mkdir(mode=0o700)
    error = client.call("start", shell="pwd", user=OTHER, cwd=str(place / "closed")).error
    assert (error["code"], error["errno"]) == ("no_such_cwd", errno.EACCES)
    outcome = client.call("start", argv=["no-such-program"], user=OTHER)
    assert outcome.event("exited")["code"] == 127


def test_files_are_the_users(client: RawClient, place: Path) -> None:
    path = str(place / "theirs" / "new" / "file")
    stream = client.open("write", path=path, user=OTHER)
    client.write(stream, b"x" * 1_000_000)
    assert client.finish(stream).result == {"size": 1_000_000}
    assert os.stat(path).st_uid == os.stat(path).st_gid == int(OTHER)
    assert os.stat(os.path.dirname(path)).st_uid == int(OTHER)
    assert client.call("mkdir", path=f"{path}s/a", user=OTHER).result == {}
    # Root replaces it, and it stays theirs.
    stream = client.open("write", path=path)
    client.write(stream, b"y")
    assert client.finish(stream).result == {"size": 1}
    assert os.stat(path).st_uid == int(OTHER)


@pytest.mark.parametrize("op", ["read", "write", "mkdir", "remove", "rename", "list", "stat"])
def test_the_users_rights_are_the_limit(client: RawClient, place: Path, op: str) -> None:
    (place / "closed").mkdir(mode=0o700)
    (place / "closed" / "file").touch()
    path = str(place / "closed" / "file")
    outcome = client.call(op, path=path, target=f"{path}2", user=OTHER)
    assert (outcome.error["code"], outcome.error["errno"]) == ("errno", errno.EACCES)
    # And afterwards the agent is itself again.
    assert client.call("stat", path=path).result["type"] == "file"


def test_the_agents_groups_open_nothing(client: RawClient, place: Path) -> None:
    (place / "secret").chmod(0o640)
    os.chown(place / "secret", 0, 4)
    outcome = client.call("read", path=str(place / "secret"), user=OTHER)
    assert outcome.error["errno"] == errno.EACCES


def test_a_file_that_may_not_be_written_is_not_replaced(client: RawClient, place: Path) -> None:
    path = place / "theirs" / "roots"
    path.write_text("old")
    path.chmod(0o644)
    outcome = client.call("write", path=str(path), user=OTHER)
    assert outcome.error["errno"] == errno.EACCES
    assert client.call("read", path=str(place / "secret"), user=OTHER).error["errno"] == 13
    removal = client.call("remove", path=str(place), recursive=True, user=OTHER)
    assert removal.error["errno"] == errno.EACCES
    assert (place / "secret").exists()


def test_trees_of_other_users_end(client: RawClient) -> None:
    tag = f"TEST_TAG={uuid.uuid4().hex}"
    began = time.monotonic()
    outcome = client.call(
        "start",
        shell="setsid sleep 99 & sleep 99",
        user=OTHER,
        env=dict([tag.split("=")]),
        timeout=0.3,
    )
    assert outcome.event("exited")["timed_out"]
    assert carriers(tag.encode()) == []
    assert time.monotonic() - began < 10
