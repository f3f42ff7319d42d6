"""The second container, by which a docker sandbox gets out: what it is, and that it never stays."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from sandboxkit import InvalidRequestError, Sandbox, SandboxNotFoundError, UnsupportedError
from sandboxkit.conformance.suite.test_egress import NAME, NOWHERE, ask, urls, web_here
from sandboxkit.conformance.suite.test_network import addresses
from tests import engine
from tests.docker.test_relay import remote

__all__ = ["remote"]


def proxies(session: str) -> list[dict[str, Any]]:
    return engine.containers(kind="egress", session=session)


def volumes(session: str) -> list[str]:
    found = engine.ask("GET", "/volumes")[1]["Volumes"] or []
    return [
        volume["Name"]
        for volume in found
        if (volume.get("Labels") or {}).get("sandboxkit.session") == session
    ]


def eventually(holds: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def nothing_left(session: str):
    yield
    left = proxies(session), volumes(session)
    for item in left[0]:
        engine.ask("DELETE", f"/containers/{item['Id']}?force=1&v=1")
    assert left == ([], [])


pytestmark = pytest.mark.usefixtures("nothing_left")


def test_it_is_locked_down_and_nothing_of_the_image_is_in_it(session: str) -> None:
    with Sandbox.create("docker", session=session, network=[NOWHERE]) as sandbox:
        assert engine.inspect(sandbox.id)["HostConfig"]["NetworkMode"] == "none"
        (item,) = proxies(session)
        shown = engine.inspect(item["Id"])
        host = shown["HostConfig"]
        assert host["CapDrop"] == ["ALL"]
        assert sorted(host["CapAdd"]) == ["SETGID", "SETUID"]
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert host["ReadonlyRootfs"]
        assert host["AutoRemove"]
        assert host["Memory"] == 256 << 20
        top = f"/containers/{item['Id']}/top?ps_args=-eo%20pid,uid,cmd"
        status, tables = engine.ask("GET", top)
        assert status == 200
        assert [row[1] for row in tables["Processes"]] == ["65534"]
        image = engine.ask("GET", f"/images/{shown['Image']}/json")[1]
        assert image["Size"] < 1000
        assert NOWHERE not in json.dumps(shown), "its orders are in its configuration"


def test_it_is_no_sandbox(session: str) -> None:
    with Sandbox.create("docker", session=session, network=[NOWHERE]) as sandbox:
        (item,) = proxies(session)
        assert [info.id for info in Sandbox.list("docker", session=session)] == [sandbox.id]
        with pytest.raises(SandboxNotFoundError):
            Sandbox.connect(f"docker:{item['Id'][:12]}")


def test_root_inside_can_do_nothing_to_it(session: str) -> None:
    with Sandbox.create("docker", session=session, network=[NOWHERE]) as sandbox:
        shared = "/dev/.sandboxkit/outlet"
        assert sandbox.run(f"ls -A {shared}", user="root").stdout == ""
        told = sandbox.run(f"touch {shared}/x", user="root")
        assert "Read-only" in told.stderr
        told = sandbox.run(f"mount -o remount,rw {shared}", user="root")
        assert not told.ok


@pytest.mark.parametrize("how", ["kill", "lifetime", "crash"])
def test_it_ends_with_its_sandbox(session: str, how: str) -> None:
    lifetime = "2s" if how == "lifetime" else "5m"
    sandbox = Sandbox.create("docker", session=session, network=[NOWHERE], lifetime=lifetime)
    assert len(proxies(session)) == 1
    assert len(volumes(session)) == 1
    if how == "kill":
        sandbox.kill()
        assert proxies(session) == []
    elif how == "crash":
        engine.ask("POST", f"/containers/{sandbox.id}/kill")
    eventually(lambda: not proxies(session) and not volumes(session))
    sandbox.close()


def test_its_death_leaves_nothing_open(session: str) -> None:
    rules = [f"{address}/32" for address in addresses()]
    with Sandbox.create("docker", session=session, network=rules) as sandbox, web_here() as here:
        port, asked = here
        assert "hello from here" in ask(sandbox, *urls(addresses(), port)).values()
        (item,) = proxies(session)
        engine.ask("POST", f"/containers/{item['Id']}/kill")
        eventually(lambda: not proxies(session))
        count = len(asked)
        told = ask(sandbox, *urls(addresses(), port))
        assert "hello from here" not in told.values()
        assert len(asked) == count
        assert sandbox.run("echo lives").ok


def test_where_no_file_is_shared_with_the_engine(remote: str, session: str) -> None:
    rules = [f"{address}/32" for address in addresses()]
    with Sandbox.create("docker", session=session, network=rules) as sandbox, web_here() as here:
        told = ask(sandbox, *urls(addresses(), here[0]), "http://203.0.113.1/")
        assert "hello from here" in told.values()
        assert told["http://203.0.113.1/"] == 403


def test_the_engines_machine_has_a_name(session: str) -> None:
    names = [NAME, "host.docker.internal"]
    with Sandbox.create("docker", session=session, network=names) as sandbox, web_here() as here:
        told = ask(sandbox, *urls(names, here[0]))
        assert set(told.values()) == {"hello from here"}, told


def test_kernels_of_their_own_share_no_sockets(session: str) -> None:
    for runtime in ("runsc", "kata"):
        with pytest.raises(UnsupportedError) as caught:
            Sandbox.create(
                "docker",
                session=session,
                network=[NOWHERE],
                provider_options={"runtime": runtime},
            )
        assert caught.value.capability == "network_rules"
        assert caught.value.outcome == "not_started"


def test_what_fails_leaves_nothing(session: str) -> None:
    for options in ({"user": "nobody-of-this-name"}, {"workdir": "/etc/passwd/x"}):
        with pytest.raises(InvalidRequestError):
            Sandbox.create("docker", session=session, network=[NOWHERE], **options)
    eventually(lambda: not proxies(session) and not volumes(session), 3)


DOOMED = """
import asyncio, os, signal, sys
from sandboxkit import Sandbox
from sandboxkit_docker import provider
async def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(getattr(provider, sys.argv[1], provider), sys.argv[2], die)
Sandbox.create("docker", session=sys.argv[3], network=["example.org"], create_timeout="3s")
"""


@pytest.mark.parametrize(
    "where", [("Egress", "start"), ("DockerProvider", "_made"), ("provider", "launch")]
)
def test_a_client_that_dies_leaves_nothing_for_long(session: str, where: tuple[str, str]) -> None:
    ran = subprocess.run([sys.executable, "-c", DOOMED, *where, session], check=False)
    assert ran.returncode == -9

    def gone() -> bool:
        Sandbox.list("docker", session=session)  # as ps and reap do
        return not proxies(session) and not engine.containers(session=session)

    eventually(gone)
    eventually(lambda: not volumes(session))
