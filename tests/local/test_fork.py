"""Forks that fail in the midst leave none, and too many are refused before the first."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sandboxkit.errors import RateLimitError, SandboxError, SandboxPausedError
from sandboxkit.provider import ForkRequest, PauseRequest
from sandboxkit_local.daemon import forking
from tests.leaks import Census
from tests.local.harness import KIND, Harness, eventually


def fork(local: Harness, sandbox_id: str, count: int):
    request = ForkRequest(sandbox_id=sandbox_id, count=count, labels={"nonce": os.urandom(8).hex()})
    return local.do(local.provider.fork(request))


def test_a_zygote_that_dies_amid_forking_leaves_none(local: Harness, state: Path):
    source = local.create().id
    daemon = local.daemon_pid()
    (launcher,) = (
        pid
        for pid, _, _ in Census.take(state).processes
        if int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == daemon
    )

    async def main() -> None:
        request = ForkRequest(sandbox_id=source, count=40, labels={"nonce": "0123"})
        forking_ = asyncio.create_task(local.provider.fork(request))
        while len([info async for info in local.provider.list(_everything())]) < 10:
            await asyncio.sleep(0.005)
        os.kill(launcher, signal.SIGKILL)
        with pytest.raises(SandboxError):
            await forking_

    local.do(main())
    assert local.list() == []
    eventually(lambda: local.ask("ping")["sandboxes"] == 0)


def _everything() -> Any:
    from sandboxkit.provider import ListRequest

    return ListRequest()


def test_the_fifteenth_that_fails_takes_the_others_with_it(tmp_path: Path):
    struck: list[int] = []

    async def main() -> None:
        begun = 0

        async def build(order: dict[str, Any], template: dict[str, Any], archive: int) -> Any:
            nonlocal begun
            begun += 1
            if begun == 15:
                raise RateLimitError("no room for another")
            ended = asyncio.get_running_loop().create_future()
            number = begun

            def strike(cause: str) -> None:
                assert cause == "killed"
                struck.append(number)
                ended.set_result(None)

            return SimpleNamespace(strike=strike, ended=ended)

        order = {"info": {"metadata": {}}, "agent": {"env": {"A": "1"}}}
        source = cast("Any", SimpleNamespace(order=order, template={}))
        archive = os.open(tmp_path / "archive", os.O_RDWR | os.O_CREAT)
        try:
            with pytest.raises(RateLimitError, match="no room"):
                await forking.fork(
                    source, archive, build, nonce="n", count=20, labels={}, lifetime=60.0
                )
        finally:
            os.close(archive)
        assert sorted(struck) == [number for number in range(1, begun + 1) if number != 15]

    asyncio.run(main())
    assert len(struck) >= 14


def test_more_than_memory_holds_is_refused_before_the_first(local: Harness, state: Path):
    source = local.create().id
    local.sh(source, "head -c 150000000 /dev/urandom > big")
    with pytest.raises(RateLimitError, match="none was made"):
        fork(local, source, 1000)
    assert [info.id for info in local.list()] == [source]
    assert list((state / "snapshots").iterdir()) == []


@pytest.mark.skipif(KIND != "root", reason="others share their ids")
def test_more_than_there_are_ids_is_refused_before_the_first(local: Harness):
    source = local.create().id
    with pytest.raises(RateLimitError, match="room for"):
        fork(local, source, 5000)
    assert [info.id for info in local.list()] == [source]


def test_a_paused_sandbox_is_not_forked(local: Harness):
    source = local.create().id
    if not local.provider.capabilities.pause:
        pytest.skip("this user cannot pause")
    local.do(local.provider.pause(PauseRequest(sandbox_id=source)))
    with pytest.raises(SandboxPausedError):
        fork(local, source, 2)
