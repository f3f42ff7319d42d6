"""What is asked of Blaxel anew leaves alone what was asked of it before."""

from __future__ import annotations

from sandboxkit.gateway.blaxel.creating import network_of
from sandboxkit_blaxel import records, sdk


def made(lifecycle: sdk.SandboxLifecycle) -> sdk.Sandbox:
    return sdk.Sandbox(metadata=sdk.Metadata(name="one"), spec=sdk.SandboxSpec(lifecycle=lifecycle))


def test_a_new_lifetime_keeps_the_end_of_idleness() -> None:
    found = made(records.lifecycle(60, "30m"))
    before = records.ends_of(found)
    found.spec.lifecycle = records.lifecycle(600, records.idle_of(found))
    after = records.ends_of(found)
    assert records.idle_of(found) == "30m"
    assert before is not None
    assert after is not None
    assert 530 < (after - before).total_seconds() < 600


def test_there_may_be_none() -> None:
    assert records.idle_of(made(records.lifecycle(60))) is None
    assert records.idle_of(made(records.lifecycle(None))) is None
    assert records.idle_of(sdk.Sandbox(sdk.Metadata(name="one"), sdk.SandboxSpec())) is None


def test_a_list_of_no_hosts_is_no_network() -> None:
    nobody: dict[str, object] = {"allowedDomains": []}
    assert network_of(nobody) == network_of({"proxy": nobody}) == "none"
    assert network_of({"proxy": nobody, "allowedDomains": ["pypi.org"]}) == "none"
    assert network_of({"proxy": {}}) is None
