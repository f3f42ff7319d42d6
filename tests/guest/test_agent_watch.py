"""The operation `watch` of the real agent, frame by frame."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from sandboxkit.guest.agent import frames
from tests.guest.rawclient import Agent, RawClient, eventually
from tests.guest.test_watch_follow import flood


def watch(client: RawClient, path: Path, **arguments: Any) -> int:
    stream = client.open("watch", path=str(path), **arguments)
    assert client.frame(stream).json() == {"event": "watching"}
    return stream


def lines(client: RawClient, stream: int, last: dict[str, str]) -> list[dict[str, str]]:
    """What is told up to an event like `last`."""
    seen: list[dict[str, str]] = []
    while not (seen and last.items() <= seen[-1].items()):
        frame = client.frame(stream)
        assert frame.type == frames.DATA, frame
        assert frame.payload.endswith(b"\n")
        seen += [json.loads(line) for line in frame.payload.splitlines()]
    return seen


def descriptors(agent: Agent) -> int:
    return len(os.listdir(f"/proc/{agent.pid}/fd"))


def test_what_is_told(client: RawClient, tmp_path: Path) -> None:
    assert "watch" in client.hello["features"]
    root = tmp_path / "root"
    root.mkdir()
    stream = watch(client, root, recursive=True)
    (root / "d").mkdir()
    seen = lines(client, stream, {"kind": "created"})
    assert seen == [{"kind": "created", "path": str(root / "d"), "type": "directory"}]
    os.rename(root / "d", root / "e")
    seen = lines(client, stream, {"kind": "renamed"})
    assert seen[-1]["target"] == str(root / "e")
    shutil.rmtree(root)
    outcome = client.finish(stream)
    assert outcome.result == {}
    assert outcome.order[-1] == "fin0"
    told = [json.loads(line) for line in bytes(outcome.data[0]).splitlines()]
    assert told[-1] == {"kind": "removed", "path": str(root), "type": "directory"}


def test_bad_arguments(client: RawClient, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cases = [
        ({"path": "relative"}, "bad_request", None),
        ({"path": str(tmp_path), "recursive": 1}, "bad_request", None),
        ({}, "bad_request", None),
        ({"path": str(tmp_path), "user": "nobody-of-this-name"}, "no_such_user", None),
        ({"path": str(tmp_path / "missing")}, "errno", errno.ENOENT),
        ({"path": str(tmp_path / "file")}, "errno", errno.ENOTDIR),
    ]
    for arguments, code, number in cases:
        error = client.call("watch", **arguments).error
        assert error is not None, arguments
        assert (error["code"], error.get("errno")) == (code, number)


def test_watches_leave_no_descriptors(agent: Agent, client: RawClient, tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / "root" / str(number) / "deep").mkdir(parents=True)
    client.call("ping")
    before = descriptors(agent)
    for _ in range(20):
        stream = watch(client, tmp_path / "root", recursive=True)
        (tmp_path / "root/x").touch()
        client.reset(stream)
        assert client.finish(stream).result == {}
        # Let go before it was set, too.
        stream = client.open("watch", path=str(tmp_path / "root"), recursive=True)
        client.reset(stream)
        assert client.finish(stream).result == {}
    assert descriptors(agent) == before
    for ending in ("bye", "cut"):
        other = agent.dial()
        watch(other, tmp_path / "root", recursive=True)
        (tmp_path / "root/y").touch()
        if ending == "bye":
            other.bye()
        else:
            other.sock.close()
    assert eventually(lambda: descriptors(agent) == before)


def test_half_a_rename_does_not_wait_for_long(client: RawClient, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    stream = watch(client, root)
    for number in range(5):
        (root / "f").touch()
        lines(client, stream, {"kind": "created"})
        began = time.monotonic()
        os.rename(root / "f", tmp_path / f"out-{number}")
        assert lines(client, stream, {"kind": "removed"})
        assert time.monotonic() - began < 5


def test_a_client_that_takes_nothing(agent: Agent, client: RawClient, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    other = agent.dial()
    stream = watch(client, root, recursive=True)
    client.stalled.add(stream)
    before = agent.rss()
    flood(root)
    flood(root)
    (root / "sub").mkdir()
    # It has read what there was credit for, and others are served.
    assert other.call("ping").result == {}
    assert agent.rss() - before < 8 << 20
    held = bytearray()
    while len(held) < frames.WINDOW - 1024:
        held += client.frame(stream).payload
    client.stalled.discard(stream)
    client.send(frames.encode_credit(stream, frames.MAIN, len(held)))
    rest = lines(client, stream, {"kind": "created", "path": str(root / "sub")})
    begun_anew = [event["kind"] for event in rest].index("overflow")
    again = {event["path"] for event in rest[begun_anew + 1 :]}
    assert {str(root / "one"), str(root / "two"), str(root / "sub")} <= again
    (root / "sub/new").touch()
    lines(client, stream, {"kind": "created", "path": str(root / "sub/new")})


@pytest.mark.root
@pytest.mark.parametrize(("limit", "number"), [("instances", 2), ("watches", 20)])
def test_the_kernels_limits_are_told(tmp_path: Path, limit: str, number: int) -> None:
    """In a user namespace of its own, so that nobody else's watches count."""
    wrapper = tmp_path / "python"
    wrapper.write_text(
        "#!/bin/sh\nexec unshare --user --map-root-user sh -c "
        f'\'echo {number} > /proc/sys/user/max_inotify_{limit}; exec python3 "$@"\' sh "$@"\n'
    )
    wrapper.chmod(0o755)
    for name in range(18):
        (tmp_path / "root" / str(name)).mkdir(parents=True)
    agent = Agent(tmp_path, python=str(wrapper))
    try:
        client = RawClient(agent.first)
        stream = watch(client, tmp_path / "root", recursive=True)
        if limit == "instances":
            watch(client, tmp_path / "root")
            error = client.call("watch", path=str(tmp_path / "root")).error
        else:
            for name in range(100, 110):
                (tmp_path / "root" / str(name)).mkdir()
            error = client.finish(stream).error
        assert error is not None
        assert error["code"] == "too_many"
        assert f"max_user_{limit}" in error["message"]
        assert client.call("ping").result == {}
    finally:
        agent.stop()
    assert agent.errors == b""
