"""``plan``, which creates nothing, and ``ps --metrics``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandboxkit import Sandbox
from sandboxkit.cli.app import run
from sandboxkit.testing import world


class Shown:
    """A command line's status and what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        capsys.readouterr()
        self.status = run(arguments)
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.mark.parametrize("provider", ["memory", "local"])
def test_what_is_served_is_native(capsys: pytest.CaptureFixture[str], provider: str) -> None:
    shown = Shown(capsys, "plan", "-p", provider, "--lifetime", "5m", "--json")
    assert shown.status == 0
    assert shown.json["provider"] == provider
    assert shown.json["supported"] is True
    (network,) = shown.json["items"]
    assert network == {
        "field": "network='none'",
        "capability": "network_none",
        "level": "native",
        "security": True,
    }


def test_what_is_not_is_status_1_and_makes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = len(world().sandboxes)
    wanted = ("plan", "-p", "memory", "--image", "debian", "--cpu", "2", "--idle-timeout", "5m")
    shown = Shown(capsys, *wanted)
    assert shown.status == 1
    lines = {line.split()[1]: line.split()[2:] for line in shown.out.splitlines()[2:]}
    assert lines["images"] == ["unsupported", "yes"]
    assert lines["limit_cpu"] == ["unsupported", "yes"]
    assert lines["idle_timeout"] == ["unsupported"]
    assert lines["network_none"] == ["native", "yes"]
    found = Shown(capsys, *wanted, "--json")
    assert found.status == 1
    assert found.json["supported"] is False
    assert len(world().sandboxes) == before


def test_the_options_are_those_of_create(capsys: pytest.CaptureFixture[str]) -> None:
    create, plan = (Shown(capsys, name, "--help").out for name in ("create", "plan"))
    assert create.partition("Options:")[2] == plan.partition("Options:")[2]
    wrong = Shown(capsys, "plan", "--lifetime", "soon")
    assert (wrong.status, "soon" in wrong.err) == (2, True)


def test_ps_tells_what_sandboxes_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxkit.cli.addresses.provider_names", lambda: ["local", "memory"])
    fresh = {"prepared": False}  # in one that stands ready an interpreter runs
    with (
        Sandbox.create("local", lifetime="5m", provider_options=fresh) as one,
        Sandbox.create("memory") as other,
    ):
        one.run("head -c 3145728 /dev/zero > file", check=True)
        shown = Shown(capsys, "ps", "--metrics")
        rows = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines()}
        assert rows[other.address] == ["running", "-", "-", "-", "-"]
        assert "3.0 MiB of 4.0 GiB" in shown.out
        assert rows[one.address][-1] == "0"
        records = {row["address"]: row for row in Shown(capsys, "ps", "--metrics", "--json").json}
        assert records[other.address]["metrics"] is None
        assert records[one.address]["metrics"]["disk_used"] >= 3 << 20
        assert records[one.address]["metrics"]["processes"] == 0
        if one.capabilities.pause:
            one.pause()
            paused = Shown(capsys, "ps", "--metrics", "--json").json
            assert [row["metrics"] for row in paused] == [None, None]
