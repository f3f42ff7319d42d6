"""What goes wrong with engines, and that each ends in the right error with nothing left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from sandboxkit import (
    AsyncSandbox,
    ExecLostError,
    ProviderUnavailableError,
    Sandbox,
    SandboxNotFoundError,
    TemplateNotFoundError,
    reap,
)
from sandboxkit_docker import clients
from tests import engine
from tests.docker.own_engine import OwnEngine, eventually, file_system
from tests.engine import EngineCensus


@pytest.fixture(autouse=True)
def nothing_is_left(engine_answers: None) -> Iterator[None]:
    """After each fault there is on the engine what was there before it, and nothing else."""
    owner = os.environ["SANDBOXKIT_OWNER"]
    before = EngineCensus.take(owner)
    yield
    left: dict[str, list[str]] = {}

    def is_clean() -> bool:
        nonlocal left
        left = EngineCensus.take(owner).since(before)
        return not left

    # Others at work on this engine may be in the midst of something.
    with contextlib.suppress(AssertionError):
        eventually(is_clean)
    assert not left


def pending(sandbox: Sandbox, act: Callable[[], object]) -> ExecLostError:
    """What a call hears that is under way when `act` happens."""
    began = threading.Event()
    caught: list[ExecLostError] = []

    def run() -> None:
        try:
            sandbox.run("echo partial; sleep 300", on_stdout=lambda _: began.set())
        except ExecLostError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert began.wait(20)
    act()
    thread.join(30)
    assert not thread.is_alive()
    (error,) = caught
    assert error.outcome == "unknown"
    assert error.partial is not None
    assert error.partial.stdout == "partial\n"
    return error


def test_a_container_removed_behind_our_back(session: str) -> None:
    with Sandbox.create("docker", session=session) as sandbox:
        error = pending(sandbox, lambda: engine.ask("DELETE", f"/containers/{sandbox.id}?force=1"))
        assert error.cause == "killed"
        for use in (lambda: sandbox.run("true"), lambda: sandbox.files.read_text("x")):
            with pytest.raises(SandboxNotFoundError):
                use()
        assert not sandbox.is_running()
        assert sandbox.kill() is False


def test_a_first_process_that_is_killed(session: str) -> None:
    with Sandbox.create("docker", session=session) as sandbox:
        pid = engine.inspect(sandbox.id)["State"]["Pid"]
        error = pending(sandbox, lambda: os.kill(pid, signal.SIGKILL))
        assert error.cause == "transport"
        with pytest.raises(SandboxNotFoundError):
            sandbox.run("true")
    eventually(lambda: not engine.containers(session=session))


def test_out_of_memory(session: str) -> None:
    """The command dies; what it was started in goes on."""
    limits = {"memory": "100MiB"}
    with Sandbox.create("docker", session=session, resources=limits) as sandbox:
        result = sandbox.run(["python3", "-c", "b = bytearray(400 << 20)"])
        assert (result.exit_code, result.signal, result.oom) == (137, 9, True)
        assert sandbox.run("echo lives").stdout == "lives\n"
        assert not sandbox.run("kill -KILL $$").oom


def test_an_image_deleted_in_between(session: str) -> None:
    tag = f"sandboxkit-test:{session}"
    assert engine.ask(
        "POST", f"/images/sandboxkit-test:base/tag?repo=sandboxkit-test&tag={session}"
    )
    with Sandbox.create("docker", image=tag, session=session) as sandbox:
        engine.ask("DELETE", f"/images/{tag}?force=1")
        assert sandbox.run("echo lives").stdout == "lives\n"
        with pytest.raises(TemplateNotFoundError) as caught:
            Sandbox.create("docker", image=tag, session=session)
        assert caught.value.outcome == "not_started"


def test_the_guests_volume_removed(session: str) -> None:
    """It is made again, and nobody notices but by the time it takes."""
    with Sandbox.create("docker", session=session) as sandbox:
        mounts = engine.inspect(sandbox.id)["HostConfig"]["Mounts"]
        content = next(mount["Source"] for mount in mounts if mount["Type"] == "volume")
    if engine.ask("DELETE", f"/volumes/{content}")[0] != 204:
        pytest.skip("others use the volume now")
    with Sandbox.create("docker", session=session) as sandbox:
        assert sandbox.run("echo back").stdout == "back\n"


def test_no_socket_and_no_permission(
    session: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = tmp_path / "missing.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{missing}")
    with pytest.raises(ProviderUnavailableError) as caught:
        Sandbox.create("docker", session=session)
    assert str(missing) in str(caught.value)
    assert "no such socket" in str(caught.value)
    assert "sandboxkit doctor docker" in str(caught.value)
    assert caught.value.outcome == "not_started"


@pytest.mark.root
def test_a_user_who_may_not(session: str) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    script = (
        "import os\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "from sandboxkit_docker.provider import DockerProvider\n"
        "import asyncio\nfrom sandboxkit_docker.settings import DockerSettings\n"
        "from sandboxkit.provider import CreateRequest\n"
        "async def main():\n"
        "    p = DockerProvider(DockerSettings())\n"
        "    try: await p.create(CreateRequest(nonce='n'))\n"
        "    except Exception as e: print(type(e).__name__, e.outcome, e)\n"
        "asyncio.run(main())\n"
    )
    # Everything is imported first, as this user may not read what is root's.
    script = "import sandboxkit_docker.provider\n" + script
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.stdout.startswith("ProviderUnavailableError not_started"), ran
    assert "permission denied" in ran.stdout
    assert engine.SOCKET in ran.stdout


def test_a_hundred_mebibytes_of_output(sandbox: Sandbox) -> None:
    seen = 0

    def count(text: str) -> None:
        nonlocal seen
        seen += len(text)

    result = sandbox.run("head -c 104857600 /dev/zero", on_stdout=count, max_output="1MiB")
    assert result.stdout_total == seen == 100 << 20
    assert len(result.stdout_bytes) == 1 << 20


@pytest.mark.slow
def test_fifty_at_once(session: str) -> None:
    async def one(number: int) -> str:
        async with AsyncSandbox.create("docker", session=session) as sandbox:
            return (await sandbox.run(f"echo {number}")).stdout

    async def main() -> list[str]:
        return await asyncio.gather(*(one(number) for number in range(50)))

    assert asyncio.run(main()) == [f"{number}\n" for number in range(50)]
    assert engine.containers(session=session) == []


@pytest.mark.slow
def test_clients_killed_while_they_create(session: str) -> None:
    script = (
        "import sys\nfrom sandboxkit import Sandbox\n"
        "Sandbox.create('docker', session=sys.argv[1], lifetime=3)\n"
    )
    for number in range(8):
        child = subprocess.Popen([sys.executable, "-c", script, session])
        time.sleep(0.5 + number * 0.12)
        child.kill()
        child.wait()
    # What had begun to run ends itself. What had not is removed by whoever asks next.
    eventually(lambda: not Sandbox.list("docker", session=session), 30)
    assert reap("docker", dry_run=False) is not None
    eventually(lambda: not engine.containers(session=session))


# The moment between the two calls that make a container and start it.
IN_BETWEEN = """
import os, signal, sys
import sandboxkit_docker.provider as provider
from sandboxkit import Sandbox
async def dies(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2:]:
    provider.launch = dies
with Sandbox.create("docker", session=sys.argv[1], network=["example.org"]):
    pass
"""


def test_a_client_killed_between_create_and_start(session: str) -> None:
    """What it has made is removed by the next client, which knows that it is dead."""

    def client(owner: str, *words: str) -> int:
        command = [sys.executable, "-c", IN_BETWEEN, session, *words]
        return subprocess.run(command, env={**os.environ, "SANDBOXKIT_OWNER": owner}).returncode

    ours = os.environ["SANDBOXKIT_OWNER"]
    others = f"not-{ours}"
    for owner in (ours, others):
        assert client(owner, "die") == -signal.SIGKILL
        # Its proxy anybody may remove from now on, as the sandbox never ran.
        made = engine.containers(kind="sandbox", owner=owner)
        assert [item["State"] for item in made] == ["created"]
    assert client(ours) == 0
    assert engine.containers(kind="sandbox", owner=ours) == []
    eventually(lambda: not engine.containers(owner=ours))
    theirs = engine.containers(kind="sandbox", owner=others)
    assert len(theirs) == 1, "what is others' is theirs to remove"
    assert client(others) == 0
    assert engine.containers(kind="sandbox", owner=others) == []
    eventually(lambda: not engine.containers(owner=others))


# The moment in which the guest is brought to an engine that has none like it.
BRINGING = """
import os, signal, sys
from sandboxkit import Sandbox
from sandboxkit_docker import guest_files
from sandboxkit_docker.engine import Engine
async def dies(*_):
    os.kill(os.getpid(), signal.SIGKILL)
guest_files.digest = lambda: sys.argv[2]
if sys.argv[3:]:
    Engine.put_archive = dies
with Sandbox.create("docker", session=sys.argv[1]) as sandbox:
    assert sandbox.run("echo there").stdout == "there\\n"
"""


def test_a_client_killed_while_it_brings_the_guest(session: str) -> None:
    """The next one that brings it removes what is half there."""
    digest = f"test{session[-12:]}"

    def client(*words: str) -> int:
        return subprocess.run([sys.executable, "-c", BRINGING, session, digest, *words]).returncode

    def guests() -> dict[str, list[str]]:
        volumes = [volume["Name"] for volume in engine.ask("GET", "/volumes")[1]["Volumes"]]
        images = [name for image in engine.ask("GET", "/images/json")[1] for name in _tags(image)]
        holders = [item["Names"][0] for item in engine.containers(kind="guest-holder")]
        return {
            "volumes": [name for name in volumes if digest in name],
            "images": [name for name in images if name.startswith("sandboxkit-guest:")],
            "holders": [name for name in holders if digest in name],
        }

    before = guests()
    try:
        assert client("die") == -signal.SIGKILL
        left = guests()
        assert len(left["volumes"]) == len(left["holders"]) == 1
        assert set(left["images"]) - set(before["images"])
        assert client() == 0
        found = guests()
        assert len(found["volumes"]) == 2, "one that is full, and one that says so"
        assert not set(found["volumes"]) & set(left["volumes"])
        assert not found["holders"]
        assert not set(found["images"]) & (set(left["images"]) - set(before["images"]))
    finally:
        for name in guests()["volumes"]:
            assert engine.ask("DELETE", f"/volumes/{name}")[0] == 204


def _tags(image: dict[str, Any]) -> list[str]:
    return image["RepoTags"] or []


def test_who_is_gone() -> None:
    myself = clients.this_one()
    assert not clients.is_gone(myself)
    assert not clients.is_gone({**myself, "where": "another machine", "pid": 1 << 30})
    assert clients.is_gone({**myself, "since": 1})
    for garbage in (None, {}, [], {**myself, "pid": "1"}, {**myself, "pid": -1}):
        assert not clients.is_gone(garbage)
    child = subprocess.Popen(["sleep", "60"])
    like_it = {**myself, "pid": child.pid, "since": clients._stat(child.pid)[1]}
    assert not clients.is_gone(like_it)
    child.kill()
    eventually(lambda: clients.is_gone(like_it))  # dead, and not waited for yet
    child.wait()
    assert clients.is_gone(like_it)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that is soon full."""
    with file_system(tmp_path):
        yield tmp_path


@pytest.fixture
def own_engine(small_disk: Path) -> Iterator[OwnEngine]:
    """An engine for this test alone, on the small disk, that can be stopped and started."""
    with OwnEngine(small_disk) as engine:
        yield engine


def fill(filler: BinaryIO) -> None:
    try:
        while True:
            filler.write(b"x" * (1 << 20))
            filler.flush()
    except OSError:
        return


@pytest.mark.root
@pytest.mark.slow
def test_an_engine_restarted_in_mid_run_and_its_disk_full(
    own_engine: OwnEngine, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_engine.load("sandboxkit-test:musl")
    monkeypatch.setenv("DOCKER_HOST", own_engine.address)
    before = own_engine.census()
    with Sandbox.create("docker", image="sandboxkit-test:musl") as sandbox:

        def restart() -> None:
            own_engine.stop()
            own_engine.start()

        error = pending(sandbox, restart)
        assert error.cause in ("killed", "transport")
        with pytest.raises(SandboxNotFoundError):
            sandbox.run("true")
    assert Sandbox.list("docker") == []
    with Sandbox.create("docker", image="sandboxkit-test:musl") as again:
        assert again.run("echo again").stdout == "again\n"
    own_engine.stop()
    with pytest.raises(ProviderUnavailableError) as caught:
        Sandbox.create("docker", image="sandboxkit-test:musl")
    assert caught.value.outcome == "not_started"
    own_engine.start()
    with open(small_disk / "filler", "wb", buffering=0) as filler:
        fill(filler)
    with pytest.raises(ProviderUnavailableError, match="no space left") as caught:
        Sandbox.create("docker", image="sandboxkit-test:musl")
    assert caught.value.outcome == "not_started"
    (small_disk / "filler").unlink()
    assert Sandbox.list("docker") == []
    # The guest's volume is made once for an engine, and marked by a second one.
    assert {kind for kind, name in own_engine.census() - before} == {"volume"}
    assert own_engine.docker("volume", "ls", "--quiet").count(b"\n") == 2
