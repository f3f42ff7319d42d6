"""Engines elsewhere: real ones, behind ssh, behind TCP with certificates, and behind TCP alone."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandboxkit import ConfigError, ProviderUnavailableError, Sandbox, portal
from tests import engine
from tests.docker.own_certificates import OwnAuthority
from tests.docker.own_engine import OwnEngine, eventually, file_system
from tests.docker.own_sshd import OwnSshd

pytestmark = [pytest.mark.root, pytest.mark.slow]

IMAGE = "sandboxkit-test:musl"
Use = Callable[..., None]


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEngine]:
    """An engine of its own, which every test starts as it likes it."""
    if engine.why_not():
        pytest.skip(engine.why_not())
    disk = tmp_path_factory.mktemp("engine")
    with file_system(disk), socket.create_server(("127.0.0.1", 0)) as listener:
        own = OwnEngine(disk)
        own.listener = listener
        with own:
            own.load(IMAGE)
        yield own


@pytest.fixture
def running(remote: OwnEngine) -> Iterator[OwnEngine]:
    with remote:
        before = remote.census()
        yield remote
        # The guest's volume is made once for an engine, and marked by a second one.
        left = {(kind, name) for kind, name in remote.census() - before if "-guest-" not in name}
        assert left == set()
        assert not processes("dial-stdio")
    remote.more = ()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[OwnSshd]:
    with OwnSshd(tmp_path) as server:
        yield server


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """Changes the environment as somebody does who has an engine elsewhere."""

    def apply(path: Path | None = None, **variables: object) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        if path is not None:
            monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")

    yield apply
    portal.shut_down()  # what was kept open to that engine


def processes(word: str) -> set[str]:
    listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True).stdout
    return {line for line in listed.splitlines() if word in line}


def slice_of_life(own: OwnEngine) -> None:
    """What somebody does with a sandbox, from its beginning to its end."""
    with Sandbox.create("docker", image=IMAGE) as sandbox:
        shown = json.loads(own.docker("inspect", sandbox.id))[0]
        assert [mount["Type"] for mount in shown["HostConfig"]["Mounts"]] == ["volume"]
        chunks: list[str] = []
        sandbox.run("echo one; read x; echo two", stdin="go\n", on_stdout=chunks.append).check()
        assert "".join(chunks) == "one\ntwo\n"
        content = os.urandom(3_000_000)
        sandbox.files.write("deep/file", content)
        assert sandbox.files.read_bytes("deep/file") == content
        assert sandbox.run("head -c 9000000 /dev/zero").stdout_total == 9_000_000
        assert sandbox.run_code("6 * 7").text == "42"
        with Sandbox.connect(sandbox.address) as other:
            assert other.run("cat deep/file | wc -c").stdout.strip() == "3000000"
        snapshot = sandbox.snapshot()
        address = sandbox.address
    try:
        with Sandbox.create("docker", snapshot=snapshot) as copy:
            assert copy.files.read_bytes("deep/file") == content
            copy.pause()
            copy.resume()
            assert copy.run("echo again").stdout == "again\n"
    finally:
        snapshot.delete()
    assert address not in {info.address for info in Sandbox.list("docker")}


def refused(why: str, *, late: bool = False) -> str:
    """What is said, in time, where an engine cannot be had; and what would help.

    Args:
        why: a pattern of it.
        late: the other side may refuse only when the request is on its way already.
    """
    with pytest.raises(ProviderUnavailableError, match=why) as caught:
        Sandbox.create("docker", image=IMAGE)
    assert caught.value.outcome in {"not_started", "unknown" if late else "not_started"}
    portal.shut_down()
    return str(caught.value)


def test_behind_ssh(running: OwnEngine, sshd: OwnSshd, use: Use) -> None:
    address = sshd.address + running.address.removeprefix("unix://")
    use(sshd.client(), DOCKER_HOST=address)
    slice_of_life(running)
    sandbox = Sandbox.create("docker", image=IMAGE)
    sandbox.run("true")
    sandbox.close()
    # Nothing waits for a client that is gone, here or over there.
    eventually(lambda: not processes("dial-stdio"))
    with Sandbox.connect(sandbox.address) as other:
        assert other.run("echo lives").stdout == "lives\n"
        other.kill()


def test_what_ssh_says_is_passed_on(sshd: OwnSshd, use: Use, tmp_path: Path) -> None:
    use(sshd.client(IdentityFile="/dev/null"), DOCKER_HOST=sshd.address)
    assert f"ssh {sshd.address} docker version" in refused("ssh says: .*Permission denied")
    use(sshd.client(UserKnownHostsFile="/dev/null"))
    refused("ssh says: Host key verification failed")
    use(sshd.client(), DOCKER_HOST=f"{sshd.address}{tmp_path}/missing.sock")
    refused("missing.sock")
    use(DOCKER_HOST="ssh://127.0.0.1:1")
    refused("ssh says: .*Connection refused")
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    use(PATH=nothing)
    refused("no such program here")
    use(DOCKER_HOST="ssh://me:hunter2@127.0.0.1")
    with pytest.raises(ConfigError, match="password") as caught:
        Sandbox.create("docker")
    assert "hunter2" not in str(caught.value)


def test_behind_tcp_with_certificates(remote: OwnEngine, use: Use, tmp_path: Path) -> None:
    ours = OwnAuthority(tmp_path / "ours")
    server = ours.sign("server", "subjectAltName=IP:127.0.0.1", "extendedKeyUsage=serverAuth")
    client = ours.sign("client", "extendedKeyUsage=clientAuth")
    strangers = OwnAuthority(tmp_path / "strangers").sign("client", "extendedKeyUsage=clientAuth")
    remote.more = [
        "--tlsverify", "--tlscacert", str(ours.certificate),
        "--tlscert", str(server / "cert.pem"), "--tlskey", str(server / "key.pem"),
    ]  # fmt: skip
    with remote:
        assert remote.listener is not None
        port = remote.listener.getsockname()[1]
        use(DOCKER_HOST=f"tcp://127.0.0.1:{port}", DOCKER_CERT_PATH=client)
        assert "DOCKER_TLS_VERIFY=1" in refused("HTTP request to an HTTPS server")
        use(DOCKER_TLS_VERIFY=1)
        slice_of_life(remote)
        use(DOCKER_HOST=f"tcp://localhost:{port}")  # which its certificate does not say
        refused("certificate is not to be trusted")
        use(DOCKER_HOST=f"tcp://127.0.0.1:{port}", DOCKER_CERT_PATH=strangers)
        refused("certificate is not to be trusted")
        shutil.copy(ours.certificate, strangers / "ca.pem")  # it trusts, and is not trusted
        # In TLS 1.3 a server looks at it when its client takes the connection for made.
        refused("another certificate of ours", late=True)
        use(DOCKER_CERT_PATH=tmp_path)
        with pytest.raises(ConfigError, match=r"cert\.pem"):
            Sandbox.create("docker")
    remote.more = ()


def test_behind_tcp_alone(running: OwnEngine, use: Use) -> None:
    assert running.listener is not None
    use(DOCKER_HOST=f"tcp://127.0.0.1:{running.listener.getsockname()[1]}")
    slice_of_life(running)
