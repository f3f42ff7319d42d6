"""Create, find, list, expire, kill; and who owns what."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from sandboxkit import AsyncSandbox, ExecLostError, Sandbox, SandboxNotFoundError, reap


def test_info_says_what_was_asked(target) -> None:
    with target.create(metadata={"task": "ü 1"}, lifetime="5m") as sandbox:
        info = sandbox.info()
        assert info.address == sandbox.address == f"{target.profile}:{sandbox.id}"
        assert info.provider == sandbox.provider == target.profile
        assert info.state == "running"
        assert info.metadata == {"task": "ü 1"}
        assert info.isolation == target.capabilities.isolation
        assert {"owner", "session", "nonce", "expires_at"} <= info.labels.keys()
        assert info.labels["session"] == target.session
        left = info.expires_at - datetime.now(UTC)
        assert timedelta(minutes=4) < left <= timedelta(minutes=5)
        assert sandbox.is_running()


def test_files_are_there_from_the_start(target, tmp_path) -> None:
    local = tmp_path / "x"
    local.write_bytes(b"\xff")
    with target.create(files={"a/t.txt": "text", "/tmp/b": b"\0", "c": local}) as sandbox:
        assert sandbox.files.read_text("a/t.txt") == "text"
        assert sandbox.files.read_bytes("/tmp/b") == b"\0"
        assert sandbox.files.read_bytes("c") == b"\xff"


def test_a_failed_preparation_leaves_nothing(target, tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        target.create(files={"a": tmp_path / "missing"})
    assert Sandbox.list(target.profile, session=target.session) == []
    with pytest.raises(FileNotFoundError):
        target.create(files={"a": tmp_path / "missing"}, keep_on_error=True)
    (kept,) = Sandbox.list(target.profile, session=target.session)
    with Sandbox.connect(kept.address) as sandbox:
        assert sandbox.kill()


def test_with_kills_what_it_created_and_spares_what_it_found(target) -> None:
    with target.create() as created:
        with Sandbox.connect(created.address) as found:
            found.files.write("x", "1")
        assert created.files.read_text("x") == "1"
    with pytest.raises(SandboxNotFoundError):
        Sandbox.connect(created.address)


def test_kill_is_idempotent_and_verified(target) -> None:
    sandbox = target.create()
    other = Sandbox.connect(sandbox.address)
    assert sandbox.kill() is True
    assert sandbox.kill() is False
    assert other.kill() is False
    assert sandbox.id not in {info.id for info in Sandbox.list(target.profile)}
    for use in (
        lambda: sandbox.files.read_bytes("x"),
        lambda: other.files.read_bytes("x"),
        lambda: other.run("true"),
        sandbox.info,
        other.info,
        lambda: Sandbox.connect(sandbox.address),
    ):
        with pytest.raises(SandboxNotFoundError) as caught:
            use()
        assert caught.value.provider == target.profile
    assert not other.is_running()
    other.close()
    sandbox.close()


def test_unknown_sandbox(target) -> None:
    with pytest.raises(SandboxNotFoundError):
        Sandbox.connect(f"{target.profile}:no-such-sandbox")


@pytest.mark.needs("commands")
def test_calls_pending_in_a_killed_sandbox_end(target) -> None:
    async def main() -> None:
        async with target.acreate() as sandbox:
            other = await AsyncSandbox.connect(sandbox.address)
            began = asyncio.Event()
            command = "echo partial; sleep 300"
            pending = asyncio.create_task(other.run(command, on_stdout=lambda _: began.set()))
            await began.wait()
            process = await other.start("sleep 300")
            waiting = asyncio.create_task(process.wait())
            await asyncio.sleep(0.1)
            start = time.monotonic()
            await sandbox.kill()
            for task in (pending, waiting):
                with pytest.raises(ExecLostError) as caught:
                    await task
                assert caught.value.cause == "killed"
                assert caught.value.outcome == "unknown"
            assert time.monotonic() - start < 5
            error = pending.exception()
            assert error.partial.stdout == "partial\n"
            await other.close()

    asyncio.run(main())


def test_list_filters(target) -> None:
    with (
        target.create(metadata={"n": "1", "g": "x"}) as one,
        target.create(metadata={"n": "2", "g": "x"}) as two,
    ):

        def ids(**filters) -> set[str]:
            return {info.id for info in Sandbox.list(target.profile, **filters)}

        assert {one.id, two.id} <= ids()
        assert ids(session=target.session) == {one.id, two.id}
        assert ids(session=target.session, metadata={"n": "1"}) == {one.id}
        assert ids(session=target.session, metadata={"g": "x"}) == {one.id, two.id}
        assert ids(session=target.session, metadata={"n": "3"}) == set()
        assert ids(session="another") == set()
        assert ids(session=target.session, state="paused") == set()


def test_many_are_listed(target) -> None:
    made = [target.create() for _ in range(12)]
    try:
        listed = {info.id for info in Sandbox.list(target.profile, session=target.session)}
        assert listed == {sandbox.id for sandbox in made}
    finally:
        for sandbox in made:
            sandbox.kill()
            sandbox.close()


def test_the_lifetime_ends_it(target) -> None:
    sandbox = target.create(lifetime=2)
    time.sleep(3.5)
    assert sandbox.id not in {info.id for info in Sandbox.list(target.profile)}
    assert not sandbox.is_running()
    with pytest.raises(SandboxNotFoundError):
        sandbox.files.read_bytes("x")
    sandbox.close()


@pytest.mark.needs("commands")
def test_expiry_is_the_cause_that_a_pending_call_hears(target) -> None:
    with target.create(lifetime=2) as sandbox:
        with pytest.raises(ExecLostError) as caught:
            sandbox.run("echo partial; sleep 300")
        assert caught.value.cause == "expired"
        assert caught.value.partial.stdout == "partial\n"


@pytest.mark.needs("lifetime_update")
def test_lifetime_can_be_changed_and_connect_does_not(target) -> None:
    with target.create(lifetime="2m") as sandbox:
        first = sandbox.info().expires_at
        with Sandbox.connect(sandbox.address) as other:
            assert other.info().expires_at == first
            longer = other.set_lifetime("10m").expires_at
        assert longer - first > timedelta(minutes=7)
        assert sandbox.info().expires_at == longer
        sandbox.set_lifetime(1)
        time.sleep(2.5)
        assert not sandbox.is_running()


@pytest.mark.needs("lifetime_unlimited")
def test_lifetime_may_be_unlimited(target) -> None:
    with target.create(lifetime=None) as sandbox:
        assert sandbox.info().expires_at is None


def test_reap_touches_only_what_is_over(target) -> None:
    with target.create() as live:
        reap(target.profile, dry_run=False)
        assert live.is_running()


@pytest.mark.needs("commands")
def test_found_from_another_process(target) -> None:
    with target.create() as sandbox:
        sandbox.files.write("x", "from here")
        script = (
            "import sys; from sandboxkit import Sandbox\n"
            "with Sandbox.connect(sys.argv[1]) as s:\n"
            "    print(s.files.read_text('x')); s.files.write('y', 'from there')\n"
            "    print([i.id for i in Sandbox.list(sys.argv[2], session=sys.argv[3])])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, sandbox.address, target.profile, target.session],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"from here\n{[sandbox.id]}\n"
        assert sandbox.files.read_text("y") == "from there"


def test_two_do_not_see_each_other(target) -> None:
    with target.create() as one, target.create() as two:
        for path in ("mine", "/tmp/mine"):
            one.files.write(path, "1")
            with pytest.raises(FileNotFoundError):
                two.files.read_bytes(path)
        assert one.id != two.id


@pytest.mark.needs("images")
def test_an_image_is_started_from_by_its_name(target) -> None:
    with target.create() as sandbox:
        image = sandbox.info().template  # the one image that is there for certain
    with target.create(image=image) as sandbox:
        assert sandbox.info().template == image
    with pytest.raises(LookupError, match="no-such-image"):
        target.create(image="no-such-image:none")
