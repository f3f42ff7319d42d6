"""Bad input gets a clear typed error, and nothing is made or lost."""

from __future__ import annotations

import pytest

from sandboxkit import ConfigError, InvalidRequestError, Sandbox, UnsupportedError

BAD = [
    ({"timeout": 5}, "lifetime"),
    ({"timout": 5}, "timout"),
    ({"lifetime": -1}, "lifetime"),
    ({"lifetime": 0}, "lifetime"),
    ({"lifetime": "tomorrow"}, "lifetime"),
    ({"create_timeout": -1}, "create_timeout"),
    ({"env": {"A=B": "x"}}, "env"),
    ({"env": {"A": 1}}, "env"),
    ({"workdir": "relative"}, "workdir"),
    ({"files": {"a\0b": ""}}, "NUL"),
    ({"files": {"": ""}}, "empty"),
    ({"network": "sometimes"}, "network"),
    ({"on_timeout": "explode"}, "on_timeout"),
    ({"resources": {"memory": "lots"}}, "memory"),
    ({"resources": {"cpus": 2}}, "cpus"),
    ({"resources": {"pids": 0}}, "pids"),
    ({"memory": "1GiB"}, "resources="),
    ({"template": "x", "snapshot": "y"}, "template and snapshot"),
    ({"snapshot": 7}, "snapshot"),
    ({"metadata": {"a": 1}}, "metadata"),
]


@pytest.mark.parametrize(("options", "says"), BAD, ids=[repr(options) for options, _ in BAD])
def test_create(target, options: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says) as caught:
        target.create(**options)
    assert isinstance(caught.value, ValueError)
    assert caught.value.outcome == "not_started"
    assert Sandbox.list(target.profile, session=target.session) == []


def test_unknown_template(target) -> None:
    with pytest.raises(LookupError, match="no-such-template"):
        target.create(template="no-such-template")


def test_unsupported_fields_fail_closed(target) -> None:
    flags = target.capabilities.flags()
    for options, capability in (
        ({"network": "full"}, "network_full"),
        ({"network": ["example.org"]}, "network_rules"),
        ({"image": "debian"}, "images"),
        ({"idle_timeout": "1m"}, "idle_timeout"),
        ({"ports": [80]}, "ports"),
        ({"mounts": ["/tmp:/x"]}, "mounts"),
        ({"on_timeout": "pause"}, "pause_on_timeout"),
    ):
        if flags.get(capability):
            continue
        with pytest.raises(UnsupportedError) as caught:
            target.create(**options)
        assert caught.value.capability == capability
        plan = Sandbox.plan(target.profile, **{"network": target.network, **options})
        assert [item.capability for item in plan.unsupported] == [capability]
    assert Sandbox.list(target.profile, session=target.session) == []


def test_addresses() -> None:
    for address in ("", "nocolon", ":x", "local:"):
        with pytest.raises(InvalidRequestError, match="address"):
            Sandbox.connect(address)
    with pytest.raises((LookupError, ConfigError)):
        Sandbox.connect("no-such-provider:x")
