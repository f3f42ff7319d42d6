"""Sandboxes that are put away and made again, while others ask for them or delete them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandboxkit.errors import TransportError
from sandboxkit.gateway.daytona.app import Gateway as Daytona
from sandboxkit.gateway.e2b.app import Gateway as Boxes
from sandboxkit.gateway.e2b.origin import origin_of
from sandboxkit.gateway.e2b.templates import MOST_LOG, Build
from sandboxkit.gateway.keys import KeyRing, Tenant, hash_key
from sandboxkit.gateway.settings import Settings
from sandboxkit.gateway.state import SnapshotRecord
from sandboxkit.gateway.state import State as Records
from sandboxkit.layers.base import Layer
from sandboxkit.models import SandboxInfo
from sandboxkit.provider import CreateRequest, KillRequest, Provider, SandboxRequest
from sandboxkit.runtime import wrapped
from sandboxkit.sandbox import AsyncSandbox

SETTINGS = Settings(keys=KeyRing({hash_key("k"): Tenant("t")}), profile="memory")
WEAK = Settings(keys=SETTINGS.keys, profile="memory", fidelity="vendor")


class Slow(Layer):
    """Lets somebody act when a sandbox has just been killed or made, or is asked for."""

    def __init__(self, inner: Provider, during: dict[str, Any]) -> None:
        super().__init__(inner)
        self._during = during

    async def kill(self, request: KillRequest) -> bool:
        there = await self.inner.kill(request)
        await self._act("kill")
        return there

    async def connect(self, request: SandboxRequest) -> SandboxInfo:
        await self._act("connect")
        return await self.inner.connect(request)

    async def create(self, request: CreateRequest) -> SandboxInfo:
        made = await self.inner.create(request)
        await self._act("create")
        return made

    async def _act(self, what: str) -> None:
        act = self._during.pop(what, None)
        if act is not None:
            await act()


def served(
    gateway: Boxes | Daytona,
    headers: dict[str, str],
    body: Callable[[httpx.AsyncClient, dict[str, Any]], Awaitable[None]],
) -> None:
    during: dict[str, Any] = {}

    async def main() -> None:
        with wrapped(lambda inner: Slow(inner, during)):
            await gateway.fleet.start()
            transport = httpx.ASGITransport(gateway)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost", headers=headers
            ) as client:
                await body(client, during)
            await gateway.aclose()

    asyncio.run(main())


async def frozen(client: httpx.AsyncClient) -> str:
    made = await client.post("/v2/sandboxes", json={"templateID": "base"})
    assert made.status_code == 201, made.text
    return str(made.json()["sandboxID"])


@pytest.mark.parametrize("asked", ["get", "list", "timeout", "envd"])
def test_a_call_while_a_sandbox_is_put_away(asked: str) -> None:
    async def body(client: httpx.AsyncClient, during: dict[str, Any]) -> None:
        path = f"/sandboxes/{await frozen(client)}"
        token = (await client.get(path)).json().get("envdAccessToken", "")
        told: list[httpx.Response] = []

        async def look() -> None:
            headers = {"E2b-Sandbox-Id": path[11:], "E2b-Sandbox-Port": "49983"}
            ways = {
                "get": ("GET", path, {}),
                "list": ("GET", "/v2/sandboxes", {}),
                "timeout": ("POST", path + "/timeout", {"json": {"timeout": 9}}),
                "envd": ("GET", "/files", {"headers": {**headers, "X-Access-Token": token}}),
            }
            method, where, more = ways[asked]
            told.append(await client.request(method, where, **more))

        during["kill"] = look
        paused = await client.post(path + "/pause", json={"memory": False})
        assert paused.status_code == 204, paused.text
        assert told[0].status_code == {"get": 200, "list": 200, "timeout": 409, "envd": 502}[asked]
        assert (await client.get(path)).json()["state"] == "paused"
        again = await client.post(f"/v2{path}/connect", json={"timeout": 30})
        assert again.status_code == 201, again.text

    served(Boxes(SETTINGS), {"X-API-Key": "k"}, body)


@pytest.mark.parametrize("again", [False, True])
def test_a_call_that_was_on_its_way_when_a_sandbox_was_put_away(again: bool) -> None:
    async def body(client: httpx.AsyncClient, during: dict[str, Any]) -> None:
        path = f"/sandboxes/{await frozen(client)}"
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            arrived.set()
            await go_on.wait()

        during["connect"] = hold
        looking = asyncio.create_task(client.get(path))
        await asyncio.wait_for(arrived.wait(), 10)
        await client.post(path + "/pause", json={"memory": False})
        if again:
            await client.post(f"/v2{path}/connect", json={"timeout": 30})
        go_on.set()
        told = await looking
        assert (told.status_code, told.json()["state"]) == (200, "running" if again else "paused")
        last = await client.post(f"/v2{path}/connect", json={"timeout": 30})
        assert last.status_code == (200 if again else 201), last.text

    served(Boxes(SETTINGS), {"X-API-Key": "k"}, body)


def test_what_is_deleted_while_it_is_made_again_is_gone() -> None:
    async def body(client: httpx.AsyncClient, during: dict[str, Any]) -> None:
        path = f"/sandboxes/{await frozen(client)}"
        await client.post(path + "/pause", json={"memory": False})
        deleting: list[asyncio.Task[httpx.Response]] = []

        async def delete() -> None:
            deleting.append(asyncio.create_task(client.delete(path)))
            await asyncio.wait(deleting, timeout=0.05)  # it waits for what is being done

        during["create"] = delete
        await client.post(f"/v2{path}/connect", json={"timeout": 30})
        assert (await deleting[0]).status_code == 204
        assert (await client.get(path)).status_code == 404
        assert (await client.get("/v2/sandboxes")).json() == []

    served(Boxes(SETTINGS), {"X-API-Key": "k"}, body)


def test_a_stop_of_daytona_survives_those_who_ask() -> None:
    async def body(client: httpx.AsyncClient, during: dict[str, Any]) -> None:
        made = await client.post("/api/sandbox", json={"autoStopInterval": 0})
        assert made.status_code == 200, made.text
        path = f"/api/sandbox/{made.json()['id']}"
        told: list[httpx.Response] = []

        async def look() -> None:
            told.extend([await client.get(path), await client.get("/api/sandbox")])

        during["kill"] = look
        stopped = await client.post(path + "/stop", params={"force": "true"})
        assert stopped.status_code == 200, stopped.text
        assert [one.status_code for one in told] == [200, 200]
        started = await client.post(path + "/start")
        assert started.json()["state"] == "started", started.text

    served(Daytona(WEAK), {"Authorization": "Bearer k"}, body)


def test_a_key_whose_sandbox_has_ended_makes_another() -> None:
    async def body(client: httpx.AsyncClient, during: dict[str, Any]) -> None:
        gateway = client._transport.app  # type: ignore[attr-defined]

        async def made() -> str:
            answer = await client.post(
                "/v2/sandboxes", json={"templateID": "base"}, headers={"Idempotency-Key": "once"}
            )
            assert answer.status_code == 201, answer.text
            return str(answer.json()["sandboxID"])

        first = await made()
        assert await made() == first
        live = await gateway.fleet.open(gateway.fleet.state.sandboxes[first])
        await gateway.fleet.provider.kill(KillRequest(sandbox_id=live.sandbox.id))
        assert await made() != first

    served(Boxes(SETTINGS), {"X-API-Key": "k"}, body)


def test_of_forks_all_are_remembered_or_none_is_left() -> None:
    async def body(client: httpx.AsyncClient, during: dict[str, Any]) -> None:
        gateway = client._transport.app  # type: ignore[attr-defined]
        path = f"/sandboxes/{await frozen(client)}"
        before = await AsyncSandbox.list("memory")

        async def fail() -> None:
            raise TransportError("lost", outcome="unknown")

        during["connect"] = fail
        refused = await client.post(path + "/fork", json={"count": 3})
        assert refused.status_code >= 500, refused.text
        assert len(gateway.fleet.state.sandboxes) == 1
        assert len(await AsyncSandbox.list("memory")) == len(before)
        assert (await client.post(path + "/fork", json={"count": 2})).status_code == 201
        assert len(gateway.fleet.state.sandboxes) == 3

    served(Boxes(SETTINGS), {"X-API-Key": "k"}, body)


def test_of_two_snapshots_of_one_name_the_last_is_meant() -> None:
    state = Records(None)
    for number, moment in enumerate((1.0, 3.0, 2.0)):
        record = SnapshotRecord(
            id=f"s{number}", tenant="t", address=f"memory:{number}", sandbox="i", names=["nm"]
        )
        record.created_at = moment
        asyncio.run(state.save(record))
    assert origin_of("nm", state, Tenant("t")).arguments == {"snapshot": "memory:1"}
    state.close()


def test_what_a_build_says_is_kept_up_to_a_bound() -> None:
    build = Build(
        id="b", tenant="t", template="x", name="x", tags=[], token="", files=Path("/nowhere")
    )
    for _ in range(2000):
        build.say("", "x" * 20_000)
    assert sum(len(line["message"]) for line in build.log) <= MOST_LOG
    assert len(build.log) > 300
