"""The life of sandboxes through E2B's SDK."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from e2b import (
    SandboxException,
    SandboxNotFoundException,
    SandboxNotRunningException,
    SandboxQuery,
    SandboxState,
)
from e2b_code_interpreter import Sandbox

from tests.gateway.conftest import Served, serving


def left(sandbox: Sandbox) -> float:
    return (sandbox.get_info().end_at - datetime.now(UTC)).total_seconds()


def test_timeouts(gateway: Served) -> None:
    with Sandbox.create(timeout=60, **gateway.params) as sandbox:
        assert 30 < left(sandbox) <= 60
        sandbox.set_timeout(200)
        assert 150 < left(sandbox) <= 200
        Sandbox.connect(sandbox.sandbox_id, timeout=20, **gateway.params)
        assert left(sandbox) > 150  # to connect never shortens
        Sandbox.connect(sandbox.sandbox_id, timeout=400, **gateway.params)
        assert left(sandbox) > 350
        sandbox.set_timeout(0)
        assert not sandbox.is_running()
        with pytest.raises(SandboxNotFoundException):
            sandbox.get_info()
    with pytest.raises(SandboxException, match="cannot be greater"):
        Sandbox.create(timeout=10**6, **gateway.params)


def test_what_has_ended(gateway: Served) -> None:
    sandbox = Sandbox.create(timeout=1, **gateway.params)
    time.sleep(2)
    assert not sandbox.is_running()
    with pytest.raises(SandboxNotRunningException):
        sandbox.commands.run("true")
    with pytest.raises(SandboxNotFoundException):
        Sandbox.connect(sandbox.sandbox_id, **gateway.params)
    assert sandbox.kill() is False


def test_a_command_whose_sandbox_is_killed(gateway: Served) -> None:
    sandbox = Sandbox.create(**gateway.params)
    handle = sandbox.commands.run("sleep 1000", background=True)
    assert sandbox.kill() is True
    with pytest.raises(SandboxNotRunningException):
        handle.wait()


def test_lists(gateway: Served) -> None:
    mark = {"mark": "a b&c=d"}
    made = [Sandbox.create(metadata={**mark, "n": str(n)}, **gateway.params) for n in range(3)]
    try:
        query = SandboxQuery(metadata=mark)
        paginator = Sandbox.list(query=query, limit=2, **gateway.params)
        first = paginator.next_items()
        assert [one.metadata["n"] for one in first] == ["2", "1"]
        assert paginator.has_next
        assert [one.metadata["n"] for one in paginator.next_items()] == ["0"]
        assert not paginator.has_next
        made[0].pause()
        paused = SandboxQuery(metadata=mark, state=[SandboxState.PAUSED])
        found = Sandbox.list(query=paused, **gateway.params).next_items()
        assert [one.sandbox_id for one in found] == [made[0].sandbox_id]
        one = Sandbox.list(query=SandboxQuery(metadata={"n": "1", **mark}), **gateway.params)
        assert [item.sandbox_id for item in one.next_items()] == [made[1].sandbox_id]
    finally:
        for sandbox in made:
            sandbox.kill()


def test_pause_keeps_processes_and_variables(sandbox: Sandbox, gateway: Served) -> None:
    sandbox.run_code("kept = 5")
    handle = sandbox.commands.run("sleep 1000", background=True)
    assert sandbox.pause() is True
    assert sandbox.pause() is False
    assert not sandbox.is_running()
    with pytest.raises(SandboxNotRunningException):
        sandbox.commands.run("true")
    again = Sandbox.connect(sandbox.sandbox_id, timeout=120, **gateway.params)
    assert 60 < left(again) <= 120
    assert [one.pid for one in again.commands.list()] == [handle.pid]
    assert again.run_code("kept").text == "5"


def test_pause_of_files_alone(gateway: Served) -> None:
    sandbox = Sandbox.create(envs={"A": "1"}, metadata={"cold": "yes"}, **gateway.params)
    query = SandboxQuery(metadata={"cold": "yes"})
    sandbox.files.write("kept", "1")
    sleeper = sandbox.commands.run("sleep 1000", background=True)
    assert sandbox.pause(mode="filesystem") is True
    assert sandbox.pause(mode="filesystem") is False
    assert not sandbox.is_running()
    listed = Sandbox.list(query=query, **gateway.params).next_items()
    assert [one.state for one in listed] == [sandbox.get_info().state] == [SandboxState.PAUSED]
    with pytest.raises(SandboxException, match="is paused"):
        sandbox.set_timeout(100)
    Sandbox.connect(sandbox.sandbox_id, timeout=200, **gateway.params)
    assert sandbox.commands.run("echo $A; cat kept").stdout == "1\n1"
    assert sandbox.commands.list() == []
    assert 150 < left(sandbox) <= 200
    sleeper = sandbox.commands.run("sleep 1000", background=True)
    sandbox.pause()
    Sandbox.connect(sandbox.sandbox_id, on_resume="reboot", **gateway.params)
    assert sandbox.commands.kill(sleeper.pid) is False
    assert sandbox.files.read("kept") == "1"
    sandbox.pause(mode="filesystem")
    assert sandbox.kill() is True
    assert sandbox.kill() is False
    assert Sandbox.list(query=query, **gateway.params).next_items() == []


def test_pause_at_the_end_and_waking_by_a_request(gateway: Served) -> None:
    lifecycle = {"on_timeout": "pause", "auto_resume": True}
    with Sandbox.create(timeout=2, lifecycle=lifecycle, **gateway.params) as sandbox:
        sandbox.files.write("kept", "1")
        deadline = time.monotonic() + 20
        while sandbox.get_info().state is not SandboxState.PAUSED:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert sandbox.get_info().lifecycle == {"on_timeout": "pause", "auto_resume": True}
        assert sandbox.commands.run("cat kept").stdout == "1"
        assert sandbox.get_info().state is SandboxState.RUNNING


def test_snapshots(gateway: Served) -> None:
    with Sandbox.create(**gateway.params) as sandbox:
        sandbox.files.write("kept", "in the snapshot")
        taken = sandbox.create_snapshot(name="with-kept")
        assert taken.names == ["with-kept"]
        listed = sandbox.list_snapshots().next_items()
        assert [one.snapshot_id for one in listed] == [taken.snapshot_id]
    try:
        for name in (taken.snapshot_id, "with-kept"):
            with Sandbox.create(name, **gateway.params) as copy:
                assert copy.files.read("kept") == "in the snapshot"
    finally:
        assert Sandbox.delete_snapshot(taken.snapshot_id, **gateway.params) is True
    assert Sandbox.delete_snapshot(taken.snapshot_id, **gateway.params) is False


def test_forks(sandbox: Sandbox) -> None:
    sandbox.files.write("kept", "1")
    made = sandbox.fork(count=2)
    try:
        assert len({sandbox.sandbox_id, *(one.sandbox_id for one in made)}) == 3
        assert [one.files.read("kept") for one in made] == ["1", "1"]
    finally:
        for one in made:
            one.kill()


def test_metrics(sandbox: Sandbox) -> None:
    (got,) = sandbox.get_metrics()
    assert got.mem_used > 0
    assert abs(got.timestamp - datetime.now(UTC)).total_seconds() < 60


def test_templates_and_what_is_refused(gateway: Served) -> None:
    with pytest.raises(SandboxException, match="404: template 'nothing-of-the-kind' not found"):
        Sandbox.create("nothing-of-the-kind", **gateway.params)
    with pytest.raises(SandboxException, match="501"):
        Sandbox.create(allow_internet_access=True, **gateway.params)  # the local one has none
    with pytest.raises(SandboxException, match="501"):
        Sandbox.create(mcp={"anything": {}}, **gateway.params)
    with Sandbox.create(allow_internet_access=False, **gateway.params) as closed:
        assert closed.get_info().allow_internet_access is False


def test_another_server_finds_what_runs(state_file: Path) -> None:
    options = ("--profile", "local", "--state", str(state_file))
    with serving(*options) as first:
        sandbox = Sandbox.create(metadata={"made": "before"}, **first.params)
        handle = sandbox.commands.run("cat > got", stdin=True, background=True)
        sandbox.create_snapshot(name="before")
    with serving(*options) as second:
        again = Sandbox.connect(sandbox.sandbox_id, **second.params)
        assert again.get_info().metadata == {"made": "before"}
        again.commands.send_stdin(handle.pid, "still here")
        again.commands.close_stdin(handle.pid)
        again.commands.connect(handle.pid).wait()
        assert again.files.read("got") == "still here"
        assert Sandbox.delete_snapshot("before", **second.params)
        assert again.kill()
