"""A sandbox that was ready before it was asked for is like one that was not."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from sandboxkit.errors import InvalidRequestError
from sandboxkit_local import paths
from tests.leaks import Census
from tests.local.harness import KIND, Harness, eventually

AGE = "read -r up _ < /proc/uptime; read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ at _ \
< /proc/1/stat; echo $up $at"
DRAW = "head -c 8 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/uuid"


def age(local: Harness, sandbox_id: str) -> float:
    """Seconds that the first process of a sandbox has lived."""
    up, at = local.sh(sandbox_id, AGE).split()
    return float(up) - int(at) / os.sysconf("SC_CLK_TCK")


def prepared(local: Harness, **wishes: Any) -> str:
    """A sandbox that was made before it was asked for."""
    for _ in range(5):
        local.create(**wishes)
        eventually(lambda: local.ask("ping")["prepared"])
        time.sleep(0.1)  # its age is told in ticks, and has to show
        began = time.monotonic()
        sandbox = local.create(**wishes).id
        if age(local, sandbox) > time.monotonic() - began + 0.05:
            return sandbox
    pytest.fail("no sandbox is ever prepared")


def test_it_is_as_was_asked_for(local: Harness):
    wishes = {"env": {"A": "b"}, "metadata": {"m": "n"}, "lifetime": 77.0}
    sandbox = prepared(local, **wishes, workdir="/srv/work")
    (info,) = [one for one in local.list(metadata={"m": "n"}) if one.id == sandbox]
    assert info.expires_at is not None
    assert abs((info.expires_at - info.created_at).total_seconds() - 77) < 1
    assert local.sh(sandbox, "echo $A; pwd; hostname").split() == ["b", "/srv/work", sandbox]
    assert local.connect(sandbox).created_at == info.created_at
    assert local.kill(sandbox) is True


def test_only_one_shape_fits(local: Harness):
    prepared(local)
    eventually(lambda: local.ask("ping")["prepared"])
    for wishes in ({"disk": 64 << 20}, {"pids": 50}, {"options": {"prepared": False}}):
        began = time.monotonic()
        sandbox = local.create(**wishes).id
        assert age(local, sandbox) < time.monotonic() - began + 0.05, wishes


def test_nobody_sees_one_that_is_nobodys(local: Harness):
    prepared(local)
    eventually(lambda: local.ask("ping")["prepared"])
    mine = {one.id for one in local.list()}
    assert mine == set(local.made)
    assert local.ask("ping")["sandboxes"] == len(mine)


def test_a_wish_that_cannot_be_is_refused_and_leaves_nothing(local: Harness):
    prepared(local)
    before = local.ask("ping")["sandboxes"]
    for _ in range(3):
        with pytest.raises(InvalidRequestError, match="workdir"):
            local.create(workdir="/etc/passwd/x")
    assert local.ask("ping")["sandboxes"] == before
    assert local.sh(local.create().id, "echo here") == "here\n"


@pytest.mark.skipif(KIND != "root", reason="finds its process by the group it is paused by")
def test_one_that_has_died_is_nobodys_loss(local: Harness, state: Path):
    sandbox = prepared(local)
    eventually(lambda: local.ask("ping")["prepared"])
    (group,) = {
        Path(found)
        for found in Census.take(state).cgroups
        if Path(found).name not in {*local.made, "zygotes"} and paths.locate().digest in found
        if Path(found).name != f"sandboxkit-{paths.locate().digest}"
    }
    for pid in (group / "cgroup.procs").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    eventually(lambda: not group.exists())
    assert local.sh(local.create().id, "echo here") == "here\n"
    assert local.sh(sandbox, "echo here") == "here\n"


def test_no_two_draw_alike(local: Harness):
    drawn = [local.sh(prepared(local), DRAW) for _ in range(2)]
    assert drawn[0].split()[:8] != drawn[1].split()[:8]


def test_provider_options_say_true_or_false(local: Harness):
    with pytest.raises(InvalidRequestError, match="prepared"):
        local.create(options={"prepared": "no"})
