"""What plugins of services share: a snapshot kept in its name, waiting without events, errors."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from sandboxkit.errors import InvalidRequestError, SandboxError, UnsupportedError
from sandboxkit.models import SnapshotInfo
from sandboxkit.provider import SnapshotRequest
from sandboxkit.provider.settling import until
from sandboxkit.provider.snapshot_names import SnapshotName, new_snapshot_name
from sandboxkit.provider.translating import Translated


def named(known: list[SnapshotInfo] | None = None, **fields: Any) -> str:
    async def listed(labels: Mapping[str, str]) -> AsyncIterator[SnapshotInfo]:
        assert labels == {"owner": "me"}
        for info in known or []:
            yield info

    request = SnapshotRequest(sandbox_id="s", labels={"owner": "me"}, **fields)
    return asyncio.run(new_snapshot_name(request, "p", listed))


@pytest.mark.parametrize("name", [None, "base", "Größe/ü-1", "n" * 60])
@pytest.mark.parametrize("lifetime", [None, 90.0])
def test_a_name_says_what_was_asked(name: str | None, lifetime: float | None) -> None:
    text = named(name=name, lifetime=lifetime)
    assert re.fullmatch("[a-z0-9-]+", text)
    found = SnapshotName.read(text)
    assert found is not None
    info = found.info("p", "id", {"owner": "me"})
    assert (info.name, info.id, info.provider) == (name, "id", "p")
    assert abs(info.created_at.timestamp() - time.time()) < 30
    assert (info.expires_at is None) == (lifetime is None)
    assert not found.is_over
    assert found._replace(expires=int(time.time()) - 1).is_over
    assert found.carries({}) and found.carries({"owner": "me"})  # noqa: PT018
    assert not found.carries({"owner": "you"})
    assert not found.carries({"owner": "me", "more": "x"})


def test_equal_requests_have_names_of_their_own() -> None:
    assert named(name="base") != named(name="base")


def test_what_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="60 bytes"):
        named(name="ü" * 31)
    with pytest.raises(UnsupportedError):
        named(kind="memory")
    known = SnapshotName.read(named(name="base"))
    assert known is not None
    with pytest.raises(InvalidRequestError, match="taken") as caught:
        named([known.info("p", "old", {})], name="base")
    assert caught.value.hint == "sandboxkit snapshot rm p:old"
    named([known.info("p", "old", {})], name="other")


@pytest.mark.parametrize("text", ["", "base", "skt-1", "skt-0123456789ab-1-ever-00-a", "SKT-x"])
def test_names_that_are_not_ours(text: str) -> None:
    assert SnapshotName.read(text) is None


def test_asking_until_it_is_done() -> None:
    asked = 0

    async def third_time() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    async def never() -> bool:
        return False

    async def broken() -> bool:
        raise SandboxError("it failed")

    assert asyncio.run(until(third_time, seconds=30, first=0.001, rarest=0.01))
    assert asked == 3
    assert not asyncio.run(until(never, seconds=0.05, first=0.001, rarest=0.01))
    with pytest.raises(SandboxError, match="it failed"):
        asyncio.run(until(broken, seconds=30, first=0.001, rarest=0.01))


def test_only_an_sdks_errors_are_translated() -> None:
    def block() -> Translated:
        return Translated(
            "run", "p", lambda error, _: SandboxError("ours") if type(error) is OSError else None
        )

    with pytest.raises(SandboxError, match="ours") as caught, block():
        raise OSError("theirs")
    assert (caught.value.op, caught.value.provider) == ("run", "p")
    assert isinstance(caught.value.__cause__, OSError)
    for passing in (KeyError("x"), SandboxError("already")):
        with pytest.raises(type(passing)) as same, block():
            raise passing
        assert same.value is passing
