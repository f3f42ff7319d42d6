"""Names are given once, are the tenant's own, and copies have the limits of what they are of."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandboxkit.errors import ConfigError
from sandboxkit.gateway.blaxel.app import Gateway
from sandboxkit.gateway.keys import hash_key, read_keys
from tests.vendors.inside import gateway_of

HEADER = "X-Blaxel-Authorization"


async def _ran(
    client: httpx.AsyncClient, sandbox: str, command: str, **more: Any
) -> httpx.Response:
    body = {"command": command, "waitForCompletion": True, **more}
    return await client.post(f"/main/sandboxes/{sandbox}/process", json=body)


def test_a_name_is_given_once_and_limits_are_kept(private_daemon: None) -> None:
    async def main() -> None:
        async with gateway_of(Gateway, header=HEADER) as (gateway, client):
            spec = {"runtime": {"memory": 512}, "network": {"allowedDomains": ["pypi.org"]}}
            body = {"metadata": {"name": "source"}, "spec": spec}
            assert (await client.post("/v0/sandboxes", json=body)).status_code == 200
            crowd = [
                _ran(client, "source", "echo x >> ran; sleep 0.2", name="job") for _ in range(4)
            ]
            statuses = [one.status_code for one in await asyncio.gather(*crowd)]
            assert sorted(statuses) == [200, 400, 400, 400]
            assert (await _ran(client, "source", "cat ran")).json()["stdout"] == "x\n"
            again = await _ran(client, "source", "echo again", name="job")
            assert again.json()["stdout"] == "again\n"

            source = await gateway.fleet.fresh(gateway.fleet.state.sandboxes["one/source"])
            assert source.info.network != "none"
            taken = await client.post("/v0/sandboxes/source/snapshots", json={"name": "taken"})
            await client.delete("/v0/sandboxes/source")
            path = f"/v0/snapshots/{taken.json()['id']}/fork"
            wanted = {"targetName": "copy", "targetType": "sandbox"}
            made = await asyncio.gather(*[client.post(path, json=wanted) for _ in range(3)])
            assert sorted(one.status_code for one in made) == [200, 409, 409]
            assert len(gateway.fleet.state.sandboxes) == 1
            copy = (await client.get("/v0/sandboxes/copy")).json()
            assert copy["spec"]["runtime"]["memory"] == 512
            live = await gateway.fleet.fresh(gateway.fleet.state.sandboxes["one/copy"])
            assert (await live.sandbox.metrics()).memory_limit == 512 << 20
            assert live.info.network == source.info.network
            await client.delete("/v0/sandboxes/copy")
            await client.delete(f"/v0/snapshots/{taken.json()['id']}")

    asyncio.run(main())


def test_a_late_call_forgets_nothing_of_a_later_sandbox(private_daemon: None) -> None:
    async def main() -> None:
        async with gateway_of(Gateway, header=HEADER) as (gateway, client):
            body = {"metadata": {"name": "reborn"}}
            await client.post("/v0/sandboxes", json=body)
            late = gateway.fleet.state.sandboxes["one/reborn"]
            await client.delete("/v0/sandboxes/reborn")
            await client.post("/v0/sandboxes", json=body)
            await gateway.fleet.forget(late)
            await gateway.fleet.state.forget(late)
            assert (await client.get("/main/sandboxes/reborn/process")).json() == []
            assert (await client.delete("/v0/sandboxes/reborn")).status_code == 200

    asyncio.run(main())


def test_nobody_waits_for_what_was_let_go_of(private_daemon: None) -> None:
    async def main() -> None:
        async with gateway_of(Gateway, header=HEADER) as (gateway, client):
            await client.post("/v0/sandboxes", json={"metadata": {"name": "one"}})
            waiting = asyncio.create_task(_ran(client, "one", "echo x > here; sleep 1000"))
            await _ran(client, "one", "while [ ! -s here ]; do sleep 0.02; done")
            await gateway.fleet._live["one/one"].extra.processes.close()
            async with asyncio.timeout(20):
                await waiting
            await client.delete("/v0/sandboxes/one")

    asyncio.run(main())


def test_a_name_with_a_slash_is_none(private_daemon: None) -> None:
    async def main() -> None:
        async with gateway_of(Gateway, header=HEADER) as (gateway, client):
            body = {"metadata": {"name": "mine"}}
            assert (await client.post("/v0/sandboxes", json=body)).status_code == 200
            record = gateway.fleet.state.sandboxes.pop("one/mine")
            gateway.fleet.state.sandboxes["one/dev/mine"] = record
            reached = await client.get("/main/sandboxes/dev%2Fmine/process")
            assert reached.status_code == 404
            del gateway.fleet.state.sandboxes["one/dev/mine"]
            await gateway.fleet.kill(record)

    asyncio.run(main())


@pytest.mark.parametrize("name", ["acme/dev", "", "..", "a b", "ü"])
def test_a_tenants_name_is_plain(name: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(f'[tenants."{name}"]\nkeys = ["{hash_key("k")}"]\n')
    with pytest.raises(ConfigError, match="a tenant's name"):
        read_keys(path)


def test_plain_names_of_tenants(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(f'[tenants."acme-1.dev_x"]\nkeys = ["{hash_key("k")}"]\n')
    found = read_keys(path).tenant("k")
    assert found is not None
    assert found.name == "acme-1.dev_x"
