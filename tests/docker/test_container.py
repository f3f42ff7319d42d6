"""What a sandbox's container is like, seen from the engine and from inside."""

from __future__ import annotations

import pytest

from sandboxkit import InvalidRequestError, Sandbox, UnsupportedError
from tests import engine


def test_locked_down(sandbox: Sandbox) -> None:
    host = engine.inspect(sandbox.id)["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert not host["Privileged"]
    assert host["NetworkMode"] == "none"
    assert host["AutoRemove"]
    status = sandbox.run("cat /proc/self/status", user="root").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    assert not sandbox.run("touch /dev/.sandboxkit/guest/x", user="root").ok
    assert not sandbox.run("ls /sys/class/net | grep -v lo").ok


def test_nothing_inside_can_control_the_guest(sandbox: Sandbox) -> None:
    """Else root inside could lengthen its own life."""
    knock = (
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.settimeout(5)\n"
        "s.connect('/dev/.sandboxkit/run/guest.sock')\n"
        "s.sendall(b'x' * 4)\nprint(s.recv(100))"
    )
    sandbox.files.write("knock.py", knock)
    for user in ("user", "root"):
        ran = sandbox.run("python3 knock.py", user=user)
        assert "HELLO" not in ran.stdout
        assert not ran.stdout.strip("b'\n"), ran
    assert sandbox.run("echo lives").ok


def test_no_secret_is_in_the_configuration(session: str) -> None:
    secret = "hunter2-of-docker"
    with Sandbox.create("docker", session=session, env={"API_KEY": secret}) as sandbox:
        assert sandbox.run("echo $API_KEY").stdout.strip() == secret
        assert secret not in str(engine.inspect(sandbox.id))


def test_limits_are_the_engines(session: str) -> None:
    limits = {"cpu": 0.5, "memory": "200MiB", "pids": 60}
    with Sandbox.create("docker", session=session, resources=limits) as sandbox:
        host = engine.inspect(sandbox.id)["HostConfig"]
        assert host["NanoCpus"] == 500_000_000
        assert host["Memory"] == host["MemorySwap"] == 200 << 20
        assert host["PidsLimit"] == 60
        forks = sandbox.run("for i in $(seq 100); do sleep 5 & done; wait")
        assert "Resource temporarily unavailable" in forks.stderr


def test_the_network_is_what_was_asked_for(session: str) -> None:
    with Sandbox.create("docker", session=session, network="full") as sandbox:
        assert "eth0" in sandbox.run("ls /sys/class/net").stdout


def test_what_this_engine_cannot_do_is_refused_and_leaves_nothing(session: str) -> None:
    for options in (
        {"provider_options": {"runtime": "no-such-runtime"}},
        {"on_timeout": "pause"},
    ):
        with pytest.raises(UnsupportedError) as caught:
            Sandbox.create("docker", session=session, **options)
        assert caught.value.outcome == "not_started"
    for options in (
        {"provider_options": {"no_such_option": 1}},
        {"user": "nobody-of-this-name"},
        {"workdir": "/etc/passwd/x"},
        {"resources": {"memory": "1MiB"}},
    ):
        with pytest.raises(InvalidRequestError):
            Sandbox.create("docker", session=session, **options)
    assert engine.containers(session=session) == []


def test_the_name_says_when_it_ends(sandbox: Sandbox) -> None:
    ends = sandbox.set_lifetime("2h").expires_at
    assert ends is not None
    assert engine.inspect(sandbox.id)["Name"].endswith(ends.strftime("-until-%Y%m%dT%H%M%SZ"))
    sandbox.pause(lifetime="1h")
    assert "-paused-" in engine.inspect(sandbox.id)["Name"]
    sandbox.resume()
    assert "-paused-" not in engine.inspect(sandbox.id)["Name"]
