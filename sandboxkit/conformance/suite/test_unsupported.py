"""What a provider does not declare is refused, in a typed error, before anything is made.

A function for each capability, as each has a function elsewhere that proves it where it is
declared: there is no third way for a provider to be.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sandboxkit import Sandbox, UnsupportedError
from sandboxkit.conformance import Target


def refused(capability: str, act: Callable[[], object]) -> None:
    """The act is refused for want of this capability, and the message names it."""
    with pytest.raises(UnsupportedError) as caught:
        act()
    assert caught.value.capability == capability
    assert caught.value.outcome == "not_started"
    assert capability in str(caught.value)


def create_refused(target: Target, capability: str, **options: object) -> None:
    """A create with these options is refused, and nothing is there afterwards."""
    refused(capability, lambda: target.create(**options))
    assert Sandbox.list(target.profile, session=target.session) == []
    plan = Sandbox.plan(target.profile, **options)
    assert capability in {item.capability for item in plan.unsupported}


@pytest.mark.without("attach")
def test_undeclared_attach(sandbox: Sandbox) -> None:
    refused("attach", lambda: sandbox.attach(1))
    refused("attach", sandbox.processes)


@pytest.mark.without("code")
def test_undeclared_code(sandbox: Sandbox) -> None:
    refused("code", lambda: sandbox.run_code("1"))
    refused("code", sandbox.contexts.list)


@pytest.mark.without("commands")
def test_undeclared_commands(sandbox: Sandbox) -> None:
    refused("commands", lambda: sandbox.run("no reply was scripted for this"))


@pytest.mark.without("file_ops")
def test_undeclared_file_ops(sandbox: Sandbox) -> None:
    refused("file_ops", lambda: sandbox.files.stat("x"))
    refused("file_ops", lambda: sandbox.files.list())
    refused("file_ops", lambda: sandbox.files.mkdir("x"))
    refused("file_ops", lambda: sandbox.files.remove("x"))
    refused("file_ops", lambda: sandbox.files.rename("x", "y"))


@pytest.mark.without("fork")
def test_undeclared_fork(sandbox: Sandbox) -> None:
    refused("fork", lambda: sandbox.fork(2))


@pytest.mark.without("idle_timeout")
def test_undeclared_idle_timeout(target) -> None:
    create_refused(target, "idle_timeout", idle_timeout=60)


@pytest.mark.without("images")
def test_undeclared_images(target) -> None:
    create_refused(target, "images", image="debian:12")


@pytest.mark.without("lifetime_unlimited")
def test_undeclared_lifetime_unlimited(target) -> None:
    create_refused(target, "lifetime_unlimited", lifetime=None)
    if target.capabilities.lifetime_update:
        with target.create() as sandbox:
            refused("lifetime_unlimited", lambda: sandbox.set_lifetime(None))


@pytest.mark.without("pause_lifetime")
def test_undeclared_pause_lifetime(target, sandbox: Sandbox) -> None:
    if target.capabilities.pause:
        refused("pause_lifetime", lambda: sandbox.pause("1h"))
        assert sandbox.is_running()
        assert sandbox.pause().expires_at is None
    else:
        refused("pause", lambda: sandbox.pause("1h"))


@pytest.mark.without("lifetime_update")
def test_undeclared_lifetime_update(sandbox: Sandbox) -> None:
    refused("lifetime_update", lambda: sandbox.set_lifetime("5m"))


@pytest.mark.without("limit_cpu")
def test_undeclared_limit_cpu(target) -> None:
    create_refused(target, "limit_cpu", resources={"cpu": 1})


@pytest.mark.without("limit_disk")
def test_undeclared_limit_disk(target) -> None:
    create_refused(target, "limit_disk", resources={"disk": "1GiB"})


@pytest.mark.without("limit_memory")
def test_undeclared_limit_memory(target) -> None:
    create_refused(target, "limit_memory", resources={"memory": "1GiB"})


@pytest.mark.without("limit_pids")
def test_undeclared_limit_pids(target) -> None:
    create_refused(target, "limit_pids", resources={"pids": 100})


@pytest.mark.without("metrics")
def test_undeclared_metrics(sandbox: Sandbox) -> None:
    refused("metrics", sandbox.metrics)


@pytest.mark.without("mounts")
def test_undeclared_mounts(target, tmp_path) -> None:
    create_refused(target, "mounts", mounts=[f"{tmp_path}:/mnt/shown"])


@pytest.mark.without("network_full")
def test_undeclared_network_full(target) -> None:
    create_refused(target, "network_full", network="full")


@pytest.mark.without("network_none")
def test_undeclared_network_none(target) -> None:
    create_refused(target, "network_none", network="none")


@pytest.mark.without("network_rules")
def test_undeclared_network_rules(target) -> None:
    create_refused(target, "network_rules", network=["example.org"])


@pytest.mark.without("pause_on_timeout")
def test_undeclared_pause_on_timeout(target) -> None:
    create_refused(target, "pause_on_timeout", on_timeout="pause")


@pytest.mark.without("pause")
def test_undeclared_pause(target, sandbox: Sandbox) -> None:
    refused("pause", sandbox.pause)
    refused("pause", sandbox.resume)


@pytest.mark.without("ports")
def test_undeclared_ports(sandbox: Sandbox) -> None:
    refused("ports", lambda: sandbox.forward(8000))


@pytest.mark.without("ports", "port_urls")
def test_undeclared_port_urls(sandbox: Sandbox) -> None:
    refused("ports", lambda: sandbox.url(8000))


@pytest.mark.without("snapshots")
def test_undeclared_snapshots(sandbox: Sandbox) -> None:
    refused("snapshots", sandbox.snapshot)


@pytest.mark.without("terminals")
def test_undeclared_terminals(sandbox: Sandbox) -> None:
    refused("terminals", sandbox.pty)


@pytest.mark.without("trees")
def test_undeclared_trees(sandbox: Sandbox, tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UnsupportedError):
        sandbox.files.upload(tmp_path, "copy")
    with pytest.raises(FileNotFoundError):
        sandbox.files.read_bytes("copy/file")


@pytest.mark.without("users")
def test_undeclared_users(target, sandbox: Sandbox) -> None:
    refused("users", lambda: sandbox.run("true", user="root"))
    refused("users", lambda: target.create(user="root"))


@pytest.mark.without("watch")
def test_undeclared_watch(sandbox: Sandbox) -> None:
    def watch() -> None:
        with sandbox.files.watch("."):
            pass

    refused("watch", watch)
