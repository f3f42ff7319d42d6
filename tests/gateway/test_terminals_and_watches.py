"""Terminals and watches through E2B's SDK."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from e2b import CommandExitException, FilesystemEventType, InvalidArgumentException, PtySize
from e2b_code_interpreter import AsyncSandbox, Sandbox

from tests.gateway.conftest import Served


def test_a_terminal(sandbox: Sandbox) -> None:
    handle = sandbox.pty.create(PtySize(rows=24, cols=80))
    sandbox.pty.send_stdin(handle.pid, b"stty size > first\n")
    deadline = time.monotonic() + 20
    while not (sandbox.files.exists("first") and sandbox.files.read("first")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert sandbox.files.read("first") == "24 80\n"
    sandbox.pty.resize(handle.pid, PtySize(rows=33, cols=101))
    sandbox.pty.send_stdin(handle.pid, b"stty size; tty; exit 9\n")
    seen = bytearray()
    with pytest.raises(CommandExitException) as ended:
        handle.wait(on_pty=seen.extend)
    assert ended.value.exit_code == 9
    assert b"33 101" in seen
    assert b"/dev/pts/" in seen
    assert sandbox.pty.kill(handle.pid) is False


def test_a_watch_that_is_asked(sandbox: Sandbox) -> None:
    sandbox.files.make_dir("watched/below")
    handle = sandbox.files.watch_dir("watched", recursive=True)
    sandbox.commands.run(
        "echo a > watched/new; mv watched/new watched/below/moved; rm watched/below/moved"
    )
    seen: list[tuple[str, FilesystemEventType]] = []
    deadline = time.monotonic() + 20
    while ("below/moved", FilesystemEventType.REMOVE) not in seen:
        assert time.monotonic() < deadline, seen
        seen += [(one.name, one.type) for one in handle.get_new_events()]
        time.sleep(0.05)
    assert seen[0] == ("new", FilesystemEventType.CREATE)
    assert ("new", FilesystemEventType.WRITE) in seen
    assert seen.index(("new", FilesystemEventType.RENAME)) < seen.index(
        ("below/moved", FilesystemEventType.CREATE)
    )
    handle.stop()
    with pytest.raises(InvalidArgumentException, match="not a directory"):
        sandbox.files.watch_dir("/etc/hostname")


async def _watched(params: dict[str, Any]) -> None:
    async with await AsyncSandbox.create(**params) as sandbox:
        seen: asyncio.Queue[Any] = asyncio.Queue()
        handle = await sandbox.files.watch_dir(".", on_event=seen.put_nowait, include_entry=True)
        await sandbox.files.write("told", "abc")
        async with asyncio.timeout(20):
            while (event := await seen.get()).name != "told":
                continue
        assert event.entry is not None
        assert event.entry.path == "/home/user/told"
        await handle.stop()


def test_a_watch_that_tells(gateway: Served) -> None:
    asyncio.run(_watched(gateway.params))
