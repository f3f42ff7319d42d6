"""From create to the end, by one client and by several."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from sandboxkit.errors import (
    InvalidRequestError,
    SandboxNotFoundError,
    TemplateNotFoundError,
    UnsupportedError,
)
from sandboxkit.provider import CreateRequest, KillRequest, LifetimeRequest
from sandboxkit_local.jail import idmap
from tests.local.harness import KIND, Harness, eventually, run


def test_info_says_what_was_asked_for(local: Harness):
    info = local.create(
        labels={"owner": "me"}, metadata={"a": "b"}, workdir="/tmp", env={"X": "1 2"}
    )
    assert info.labels["owner"] == "me"
    assert (info.metadata, info.workdir, info.user) == ({"a": "b"}, "/tmp", "user")
    assert (info.isolation, info.template) == ("namespaces", "python")
    assert info.expires_at is not None
    assert local.sh(info.id, "pwd; echo $X").split("\n")[:2] == ["/tmp", "1 2"]
    assert local.connect(info.id).created_at == info.created_at


@pytest.mark.parametrize("user", [None] if KIND == "single" else [None, "root", "1234"])
def test_workdir_is_made(local: Harness, user: str | None):
    info = local.create(workdir="/foo/bar", user=user)
    assert info.workdir == "/foo/bar"
    assert local.sh(info.id, "pwd; touch f").strip() == "/foo/bar"
    assert len({*local.sh(info.id, "stat -c %u . f; id -u").split()}) == 1


@pytest.mark.parametrize("workdir", ["/etc/passwd", "/etc/passwd/x", "/proc/nonesuch", "/usr/x/y"])
def test_workdir_that_cannot_be_made(local: Harness, workdir: str):
    before = local.ask("ping")["sandboxes"]
    with pytest.raises(InvalidRequestError, match="workdir"):
        local.create(workdir=workdir)
    assert local.ask("ping")["sandboxes"] == before


def test_list_filters(local: Harness):
    owner = uuid4().hex
    one = local.create(labels={"owner": owner}, metadata={"n": "1"})
    two = local.create(labels={"owner": owner}, metadata={"n": "2"})
    assert {i.id for i in local.list(labels={"owner": owner})} == {one.id, two.id}
    assert [i.id for i in local.list(labels={"owner": owner}, metadata={"n": "2"})] == [two.id]
    assert local.list(labels={"owner": owner}, state="paused") == []


def test_kill_is_verified_and_idempotent(local: Harness):
    info = local.create()
    local.sh(info.id, "setsid sleep 1000 >/dev/null 2>&1 & trap '' TERM; echo started")
    assert local.kill(info.id) is True
    assert local.kill(info.id) is False
    assert info.id not in {i.id for i in local.list()}
    with pytest.raises(SandboxNotFoundError) as caught:
        local.connect(info.id)
    assert caught.value.cause == "killed"


def test_unknown_sandbox_has_no_cause(local: Harness):
    with pytest.raises(SandboxNotFoundError) as caught:
        local.connect("nonesuch")
    assert caught.value.cause is None
    assert local.kill("nonesuch") is False


def test_same_nonce_makes_one_sandbox(local: Harness):
    nonce = uuid4().hex
    assert local.create(nonce=nonce).id == local.create(nonce=nonce).id

    async def both() -> set[str]:
        request = CreateRequest(nonce=uuid4().hex)
        made = await asyncio.gather(*(local.provider.create(request) for _ in range(2)))
        local.made.extend(info.id for info in made)
        return {info.id for info in made}

    assert len(local.do(both())) == 1


def test_expiry_ends_the_sandbox_and_is_remembered(local: Harness):
    info = local.create(lifetime=0.3)
    eventually(lambda: info.id not in {i.id for i in local.list()}, 3)
    with pytest.raises(SandboxNotFoundError) as caught:
        local.connect(info.id)
    assert caught.value.cause == "expired"


def test_daemon_ends_a_sandbox_whose_agent_does_not(local: Harness, state: Path):
    info = local.create(lifetime=0.5)
    stop_agents(state)
    began = time.monotonic()
    eventually(lambda: info.id not in {i.id for i in local.list()}, 6)
    assert time.monotonic() - began > 1.0
    with pytest.raises(SandboxNotFoundError) as caught:
        local.connect(info.id)
    assert caught.value.cause == "expired"


def stop_agents(state: Path) -> None:
    """Stop every agent from outside, as the host may."""
    import os
    import signal

    from tests.leaks import Census

    for pid, _, _ in Census.take(state).processes:
        levels = Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].split("\n")[0].split()
        if len(levels) == 3 and levels[-1] == "1":
            os.kill(pid, signal.SIGSTOP)


def test_lifetime_can_be_changed(local: Harness):
    info = local.create(lifetime=0.6)

    async def longer() -> None:
        request = LifetimeRequest(sandbox_id=info.id, lifetime=60)
        changed = await local.provider.set_lifetime(request)
        assert changed.expires_at is not None
        assert info.expires_at is not None
        assert changed.expires_at > info.expires_at
        await asyncio.sleep(3.0)  # past the first end and the daemon's guard

    local.do(longer())
    found = local.connect(info.id)
    assert found.expires_at is not None
    assert (found.expires_at - found.created_at).total_seconds() > 50

    async def never() -> None:
        await local.provider.set_lifetime(LifetimeRequest(sandbox_id=info.id, lifetime=None))

    local.do(never())
    assert local.connect(info.id).expires_at is None


OTHER_CLIENT = """
import asyncio, sys
from sandboxkit_local.provider import LocalProvider
from sandboxkit.provider import ProviderSettings, SandboxRequest
from tests.local.harness import run

async def main():
    provider = LocalProvider(ProviderSettings())
    info = await provider.connect(SandboxRequest(sandbox_id=sys.argv[1]))
    print((await run(provider, info.id, "cat /tmp/note; echo; echo other > /tmp/reply")).stdout)
    await provider.aclose()

asyncio.run(main())
"""


def test_another_process_can_connect(local: Harness):
    info = local.create()
    local.write(info.id, "/tmp/note", b"hello")
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", OTHER_CLIENT, info.id],
        cwd=root, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "hello" in ran.stdout, ran
    assert local.sh(info.id, "cat /tmp/reply").strip() == "other"


def test_fifty_at_once(local: Harness):
    async def all_of_them() -> list[str]:
        async def one(number: int) -> str:
            info = await local.provider.create(CreateRequest(nonce=uuid4().hex, lifetime=60.0))
            local.made.append(info.id)
            return (await run(local.provider, info.id, f"echo $((7 * {number}))")).stdout.strip()

        return await asyncio.gather(*(one(number) for number in range(50)))

    assert local.do(all_of_them()) == [str(7 * number) for number in range(50)]

    async def kill_them() -> None:
        requests = (KillRequest(sandbox_id=sandbox_id) for sandbox_id in local.made)
        await asyncio.gather(*(local.provider.kill(request) for request in requests))

    local.do(kill_them())
    assert local.list() == []


def test_cancelled_create_leaves_nothing(local: Harness):
    async def cancelled(delay: float) -> None:
        task = asyncio.ensure_future(local.provider.create(CreateRequest(nonce=uuid4().hex)))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    local.create()
    for delay in (0, 0.001, 0.002, 0.004):
        local.do(cancelled(delay))
    eventually(lambda: local.ask("ping")["sandboxes"] == 1)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"template": "nonesuch"}, TemplateNotFoundError),
        ({"image": "debian"}, UnsupportedError),
        ({"network": "full"}, UnsupportedError),
        ({"options": {"nonesuch": 1}}, InvalidRequestError),
        ({"options": {"template": {"preload": "json"}}}, InvalidRequestError),
        ({"options": {"template": {"venv": "/nonesuch"}}}, InvalidRequestError),
        ({"env": {"X": "y" * 300_000}}, InvalidRequestError),
    ],
)
def test_what_cannot_be_is_refused_and_makes_nothing(local: Harness, changes: dict, error: type):
    before = local.ask("ping")["sandboxes"]
    with pytest.raises(error):
        local.create(**changes)
    assert local.ask("ping")["sandboxes"] == before


def test_template_may_preload_modules(local: Harness):
    info = local.create(options={"template": {"preload": ["decimal"]}})
    assert local.sh(info.id, ("python", "-c", "import decimal; print(1)")).strip() == "1"


def test_a_preload_that_fails_is_an_error_not_a_hang(local: Harness):
    from sandboxkit.errors import ProviderUnavailableError

    with pytest.raises(ProviderUnavailableError, match="nonesuch_module"):
        local.create(options={"template": {"preload": ["nonesuch_module"]}})


def test_users(local: Harness):
    if KIND == "single":
        assert not local.provider.capabilities.users
        with pytest.raises(UnsupportedError):
            local.create(user="root")
        assert local.sh(local.create().id, "id -u").strip() == "1000"
    else:
        info = local.create(user="root")
        assert local.sh(info.id, "id -u; echo $HOME; pwd").split() == ["0", "/root", "/root"]
        assert local.sh(info.id, "id -u", user="user", cwd="/").strip() == "1000"
    with pytest.raises((InvalidRequestError, UnsupportedError)):
        local.create(user="nonesuch")


def test_id_ranges_are_recycled(local: Harness):
    if idmap.choose().kind != "root":
        return
    first = local.create()
    line = local.sh(first.id, "cat /proc/self/uid_map")
    other = local.create()
    assert local.sh(other.id, "cat /proc/self/uid_map") != line
    local.kill(first.id)
    again = [local.create().id for _ in range(2)]  # one of them may have been prepared before
    assert line in [local.sh(one, "cat /proc/self/uid_map") for one in again]


def test_template_names_are_aliases(local: Harness):
    for name in ("base", "default", "python"):
        assert local.sh(local.create(template=name).id, "python -c 'print(6 * 7)'").strip() == "42"


def test_json_survives_the_trip(local: Harness):
    metadata = {"ünï": "çødé\n\"'"}
    info = local.create(metadata=metadata)
    assert local.connect(info.id).metadata == metadata
    assert json.loads(json.dumps(local.list()[-1].metadata)) == metadata
