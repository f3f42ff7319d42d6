"""What a sandbox of the gateway has holds as long as it is there, and what nobody hears of ends."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandboxkit.gateway.daytona.app import Gateway
from tests.vendors.inside import KEY, gateway_of


async def _ran(client: httpx.AsyncClient, name: str, command: str) -> str:
    answer = await client.post(f"/toolbox/{name}/process/execute", json={"command": command})
    return str(answer.json()["result"]).strip()


async def _made(client: httpx.AsyncClient, **body: Any) -> str:
    return str((await client.post("/api/sandbox", json=body)).json()["id"])


async def _gone_or_archived(client: httpx.AsyncClient, gateway: Any, name: str) -> tuple[int, str]:
    """What its clock does to it."""
    doing = gateway._clocks._doing
    while doing:
        await asyncio.wait([*doing])
    answer = await client.get(f"/api/sandbox/{name}")
    return answer.status_code, answer.json().get("state", "")


async def _strike(gateway: Any, name: str) -> None:
    """Let a minute pass for it since it was stopped."""
    record = gateway.fleet.state.sandboxes[name]
    record.options["stopped_at"] -= 61
    gateway._clocks.stop(record)
    gateway._clocks._strike(record)


def test_what_it_has_outlasts_a_stop_and_a_restart(private_daemon: None, tmp_path: Path) -> None:
    async def main() -> None:
        state = tmp_path / "state.sqlite3"
        async with gateway_of(Gateway, state) as (gateway, client):
            name = await _made(client, memory=1, autoDeleteInterval=1)
            await client.post(f"/toolbox/{name}/env", json={"set": {"TOKEN": "abc"}})
            before = (await client.get(f"/toolbox/{name}/system/metrics")).json()["memTotal"]
            assert before == 1 << 30
        async with gateway_of(Gateway, state) as (gateway, client):
            assert await _ran(client, name, "echo $TOKEN") == "abc"
            stopped = await client.post(f"/api/sandbox/{name}/stop?force=true")
            assert stopped.json()["state"] == "stopped"
            assert (await client.post(f"/api/sandbox/{name}/start")).status_code == 200
            after = (await client.get(f"/toolbox/{name}/system/metrics")).json()["memTotal"]
            assert after == 1 << 30
            signing = f"/api/sandbox/{name}/ports/8000/signed-preview-url"
            for seconds in ("²", "0000864009999999", "0", "86401"):
                refused = await client.get(signing, params={"expiresInSeconds": seconds})
                assert refused.status_code == 400, seconds
            assert (await client.get(signing)).status_code == 200
            await client.post(f"/api/sandbox/{name}/stop")
            await client.post(f"/api/sandbox/{name}/autoarchive/1")
            await client.post(f"/api/sandbox/{name}/autodelete/2")
            await _strike(gateway, name)
            assert await _gone_or_archived(client, gateway, name) == (200, "archived")
            await _strike(gateway, name)
            assert (await _gone_or_archived(client, gateway, name))[0] == 404

    asyncio.run(main())


@pytest.mark.parametrize("what", ["execute", "code-run"])
def test_a_command_ends_when_its_client_has_left(private_daemon: None, what: str) -> None:
    loop = "echo $$ > here; exec sleep 1000"
    code = f"import subprocess; subprocess.run(['sh', '-c', {loop!r}])"
    body = {"command": loop} if what == "execute" else {"code": code}

    async def main() -> None:
        async with gateway_of(Gateway) as (_, client):
            name = await _made(client)
            left = asyncio.Event()
            given = [{"type": "http.request", "body": json.dumps(body).encode()}]

            async def receive() -> dict[str, Any]:
                if given:
                    return given.pop()
                await left.wait()
                return {"type": "http.disconnect"}

            async def send(message: dict[str, Any]) -> None:
                return

            path = f"/toolbox/{name}/process/{what}"
            await _leave(client, name, path, receive, send, left, "http")
            await client.delete(f"/api/sandbox/{name}")

    asyncio.run(main())


def test_code_ends_when_its_client_has_left(private_daemon: None) -> None:
    code = "import os, time\nopen('here', 'w').write(str(os.getpid()))\ntime.sleep(1000)"

    async def main() -> None:
        async with gateway_of(Gateway) as (_, client):
            name = await _made(client)
            left = asyncio.Event()
            given = [
                {"type": "websocket.receive", "text": json.dumps({"code": code})},
                {"type": "websocket.connect"},
            ]

            async def receive() -> dict[str, Any]:
                if given:
                    return given.pop()
                await left.wait()
                return {"type": "websocket.disconnect"}

            async def send(message: dict[str, Any]) -> None:
                return

            path = f"/toolbox/{name}/process/interpreter/execute"
            await _leave(client, name, path, receive, send, left, "websocket")
            # What was interrupted is at rest: the next code of the context runs.
            assert await _ran(client, name, "echo there") == "there"
            await client.delete(f"/api/sandbox/{name}")

    asyncio.run(main())


async def _leave(
    client: httpx.AsyncClient,
    name: str,
    path: str,
    receive: Any,
    send: Any,
    left: asyncio.Event,
    kind: str,
) -> None:
    """Ask, leave when it runs, and see that the call is over long before what it asked for is."""
    scope = {
        "type": kind,
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "scheme": "http",
        "headers": [(b"authorization", f"Bearer {KEY}".encode()), (b"host", b"gateway")],
    }
    transport: Any = client._transport
    call = asyncio.create_task(transport.app(scope, receive, send))
    waited = "while [ ! -s here ]; do sleep 0.02; done; cat here"
    number = await _ran(client, name, waited)
    left.set()
    async with asyncio.timeout(20):
        await call
    if kind == "http":  # else the interpreter lives on for its context
        ended = f"while kill -0 {number} 2>/dev/null; do sleep 0.02; done; echo ended"
        async with asyncio.timeout(20):
            assert await _ran(client, name, ended) == "ended"
