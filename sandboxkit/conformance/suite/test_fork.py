"""Forks: all or none, independent, and like their source."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from sandboxkit import Sandbox, SandboxNotFoundError, UnsupportedError


def ids(target) -> set[str]:
    return {info.id for info in Sandbox.list(target.profile, session=target.session)}


def end(forks: list[Sandbox]) -> None:
    for fork in forks:
        fork.kill()
        fork.close()


@pytest.mark.needs("fork")
def test_twenty_forks_are_independent(target) -> None:
    with target.create(metadata={"task": "ü"}, files={"base": "from the source"}) as source:
        assert source.capabilities.fork
        snapshots = {one.address for one in Sandbox.snapshots(target.profile)}
        forks = source.fork(20, lifetime="5m")
        try:
            assert len(forks) == len({fork.id for fork in forks}) == 20
            assert ids(target) == {source.id, *(fork.id for fork in forks)}
            for number, fork in enumerate(forks):
                assert fork.files.read_text("base") == "from the source"
                fork.files.write("base", f"of {number}")
                fork.files.write(f"own-{number}", "")
            source.files.write("late", "")
            for number, fork in enumerate(forks):
                assert fork.files.read_text("base") == f"of {number}"
                assert {one.name for one in fork.files.list()} == {"base", f"own-{number}"}
            assert source.files.read_text("base") == "from the source"
            assert {one.name for one in source.files.list()} == {"base", "late"}
            info = forks[7].info()
            assert info.metadata == {"task": "ü"}
            assert info.labels["session"] == target.session
            assert info.labels["owner"] == source.info().labels["owner"]
            left = info.expires_at - datetime.now(UTC)
            assert timedelta(minutes=4) < left <= timedelta(minutes=5)
            source.kill()
            assert forks[3].files.read_text("base") == "of 3"
        finally:
            end(forks)
        assert ids(target) == set()
        assert {one.address for one in Sandbox.snapshots(target.profile)} == snapshots


@pytest.mark.needs("fork")
def test_bad_numbers_of_forks_make_nothing(target, sandbox) -> None:
    for bad in (0, -1, 1001, 10**12, 2.5, "3", None, True):
        with pytest.raises(ValueError, match="fork"):
            sandbox.fork(bad)
    with pytest.raises(ValueError, match="lifetime"):
        sandbox.fork(2, lifetime=0)
    with pytest.raises(UnsupportedError):
        sandbox.fork(2, kind="memory")
    assert ids(target) == {sandbox.id}


@pytest.mark.needs("fork")
def test_forks_end_with_their_block(target, sandbox) -> None:
    (fork,) = sandbox.fork(1)
    with fork:
        assert fork.is_running()
        (grandchild,) = fork.fork(1)
        with grandchild:
            assert grandchild.is_running()
    assert ids(target) == {sandbox.id}


@pytest.mark.needs("fork")
def test_a_killed_sandbox_is_not_forked(target) -> None:
    with target.create() as sandbox:
        other = Sandbox.connect(sandbox.address)
        sandbox.kill()
        with pytest.raises(SandboxNotFoundError):
            sandbox.fork(1)
        with pytest.raises((SandboxNotFoundError, UnsupportedError)):
            other.fork(1)
        other.close()
    assert ids(target) == set()


@pytest.mark.needs("commands", "fork")
def test_forks_keep_what_their_source_was_made_with(target) -> None:
    limited = target.capabilities.limit_disk
    resources = {"disk": "64MiB"} if limited else {}
    options = {"env": {"SECRET": "of mine"}, "workdir": "/tmp/work", "resources": resources}
    with target.create(**options) as source:
        source.run("echo data > kept")
        for address in forked(source):
            with Sandbox.connect(address) as fork:
                assert fork.info().workdir == "/tmp/work"
                ran = fork.run("pwd; whoami; echo $SECRET; cat kept; df -kP . | tail -1")
                words = ran.stdout.split()
                assert words[:5] == ["/tmp/work", "user", "of", "mine", "data"]
                assert not limited or int(words[6]) <= 64 << 10
                fork.kill()


def forked(source: Sandbox) -> list[str]:
    """Two forks by a client that has only connected, where the provider can serve that itself."""
    if "fork" in source.emulated:  # the core knows only what this process has made
        made = source.fork(2)
        for fork in made:
            fork.close()
        return [fork.address for fork in made]
    script = (
        "import sys\nfrom sandboxkit import Sandbox\n"
        "with Sandbox.connect(sys.argv[1]) as found:\n"
        "    for fork in found.fork(2):\n"
        "        print(fork.address)\n"
        "        fork.close()\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, source.address],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.split()
    assert len(said) == 2
    return said


KILLED_AMID = """
import sys
from sandboxkit import Sandbox
profile, network, address = sys.argv[1:]
# Where the core forks, it forks only what the same process has made.
if address:
    found = Sandbox.connect(address)
else:
    found = Sandbox.create(profile, network=network, lifetime=8)
print("ready", flush=True)
found.fork(30, lifetime=4)
"""


@pytest.mark.needs("commands", "fork")
def test_a_client_killed_amid_forking_leaves_none_unowned(target) -> None:
    with target.create() as source:
        owner = source.info().labels["owner"]
        mine = "" if "fork" in source.emulated else source.address
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED_AMID, target.profile, target.network, mine],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.15)
        assert child.poll() is None
        child.kill()
        child.communicate()

        def left() -> set[str]:
            listed = Sandbox.list(target.profile)
            return {info.id for info in listed if info.labels["owner"] == owner}

        deadline = time.monotonic() + 20
        while left() != {source.id} and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left() == {source.id}
        # What the core restored them from has an end of its own.
        for snapshot in Sandbox.snapshots(target.profile):
            if snapshot.info.labels["owner"] == owner:
                assert snapshot.info.expires_at is not None
                snapshot.delete()
