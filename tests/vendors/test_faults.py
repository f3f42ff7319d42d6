"""What breaks between a plugin and its service ends in the right error; nothing happens twice."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandboxkit import AsyncSandbox, RateLimitError, TransportError
from tests.vendors.broken_wire import Rule, Wire, answered, cut_off, dropped, slowed, wire_to
from tests.vendors.serving import serving


@dataclass(frozen=True)
class Vendor:
    """A plugin, and how its requests begin that are to go wrong.

    Attributes:
        name: the wire's and the plugin's.
        url: the variable that says where the server is, which its API's path ends.
        key: the variable with the key.
        path: of the API.
        settings: of the profile.
        create: how a request begins that creates a sandbox.
        look: the same, for asking about one.
        dial: the same, for the connection to the guest.
        send: the same, for what is sent over that; ``None`` where that is no request.
    """

    name: str
    url: str
    key: str
    path: str
    settings: str
    create: bytes
    look: bytes
    dial: bytes
    send: bytes | None


VENDORS = [
    Vendor(
        "daytona",
        "DAYTONA_API_URL",
        "DAYTONA_API_KEY",
        "/api",
        'guest_user = ""\nwithout = ["images", "port_urls"]\n',
        create=b"POST /api/sandbox ",
        look=b"GET /api/sandbox/",
        dial=b"GET /toolbox/",
        send=None,
    ),
    Vendor(
        "blaxel",
        "BL_API_URL",
        "BL_API_KEY",
        "/v0",
        'root = false\nnetwork = "full"\nworkspace = "main"\n',
        create=b"POST /v0/sandboxes",
        look=b"GET /v0/sandboxes/",
        # A server tells the clients of a sandbox where it is by the name that they call it by.
        dial=b"POST /main/sandboxes/",
        send=b"POST /main/sandboxes/",
    ),
]


@pytest.fixture(scope="module", params=VENDORS, ids=lambda vendor: vendor.name)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    return request.param


@pytest.fixture(scope="module")
def server(private_daemon: None, vendor: Vendor) -> Iterator[dict[str, str]]:
    """What leads to a server that speaks its protocol in front of the local provider."""
    with serving(vendor.name) as variables:
        yield variables


@asynccontextmanager
async def broken(
    vendor: Vendor, server: dict[str, str], place: Path, patience: float = 20.0
) -> AsyncIterator[Wire]:
    """A wire to the server, which the profile ``broken`` takes; ``direct`` goes past it."""
    host, port = server[vendor.url].split("/")[2].split(":")
    async with wire_to(host, int(port)) as (wire, address):
        (place / "sandboxkit").mkdir()
        settings = (
            f'provider = "{vendor.name}"\n{vendor.settings}'
            f'api_key = "{server[vendor.key]}"\nrequest_timeout = {patience}\n'
        )
        (place / "sandboxkit" / "config.toml").write_text(
            f'[profiles.broken]\n{settings}api_url = "http://{address}{vendor.path}"\n'
            f'[profiles.direct]\n{settings}api_url = "{server[vendor.url]}"\n'
        )
        yield wire


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("SANDBOXKIT_OWNER", f"faults-{os.getpid()}-{time.monotonic_ns()}")
    return tmp_path


async def there() -> list[str]:
    return [info.id for info in await AsyncSandbox.list("direct")]


def test_a_create_that_is_refused_or_whose_answer_is_lost_makes_one_sandbox(
    vendor: Vendor, server: dict[str, str], place: Path
) -> None:
    async def tried() -> None:
        async with broken(vendor, server, place) as wire:
            busy = answered("429 Too Many Requests", b"{}", "Retry-After: 0\r\n")
            wire.rules += [Rule(vendor.create, busy), Rule(vendor.create, dropped, times=2)]
            async with AsyncSandbox.create("broken") as sandbox:
                assert await there() == [sandbox.id]
                assert (await sandbox.run("echo one")).stdout == "one\n"
            assert await there() == []

            wire.rules[:] = [
                Rule(vendor.create, answered("429 Busy", b"{}", "Retry-After: 3600\r\n"), 9)
            ]
            with pytest.raises(RateLimitError) as limited:
                await AsyncSandbox.create("broken")
            assert limited.value.outcome == "not_started"
            assert limited.value.retry_after == 3600
            assert wire.rules[0].seen == 1

            wire.rules[:] = [Rule(vendor.create, dropped, 9)]
            with pytest.raises(TransportError) as lost:
                await AsyncSandbox.create("broken")
            assert lost.value.outcome == "unknown"
            wire.rules.clear()
            assert await there() == []

    asyncio.run(tried())


def test_a_command_whose_connection_breaks_goes_on_and_runs_once(
    vendor: Vendor, server: dict[str, str], place: Path
) -> None:
    async def tried() -> None:
        async with broken(vendor, server, place) as wire:
            async with AsyncSandbox.create("broken") as sandbox:
                heard: list[str] = []
                begun = asyncio.Event()

                def hear(text: str) -> None:
                    heard.append(text)
                    begun.set()

                command = "echo run >> runs; for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done"
                running = asyncio.create_task(sandbox.run(command, on_stdout=hear))
                await begun.wait()
                bad = answered("502 Bad Gateway", b"<html>bad gateway</html>")
                wire.rules.append(Rule(vendor.dial, bad))
                wire.cut()
                result = await running
                assert result.stdout == "".join(heard) == "1\n2\n3\n4\n5\n6\n"
                assert wire.rules[0].seen > 1
                assert await sandbox.files.read_text("runs") == "run\n"

    asyncio.run(tried())


def test_a_command_whose_connection_stays_broken_is_not_run_again(
    vendor: Vendor, server: dict[str, str], place: Path
) -> None:
    async def tried() -> None:
        async with broken(vendor, server, place) as wire:
            sandbox = await AsyncSandbox.create("broken")
            started = asyncio.Event()
            command = "echo run >> runs; echo begun; sleep 5"
            running = asyncio.create_task(
                sandbox.run(command, on_stdout=lambda text: started.set())
            )
            await started.wait()
            wire.rules.append(Rule(vendor.dial, answered("502 Bad Gateway"), 1000))
            wire.cut()
            with pytest.raises(ConnectionError) as lost:
                await running
            assert lost.value.outcome == "unknown"
            async with await AsyncSandbox.connect(sandbox.address, profile="direct") as other:
                assert await other.files.read_text("runs") == "run\n"
                await other.kill()
            wire.rules.clear()
            await sandbox.close()

    asyncio.run(tried())


def test_a_command_whose_answer_is_lost_runs_once_at_most(
    vendor: Vendor, server: dict[str, str], place: Path
) -> None:
    """The connection is reset once the command has come to the other side."""

    async def tried() -> None:
        async with broken(vendor, server, place) as wire:
            async with AsyncSandbox.create("broken") as sandbox:
                await sandbox.run("true")  # so that the next one is all that is sent
                wire.rules.append(Rule(vendor.send, dropped))
                with pytest.raises(ConnectionError) as lost:
                    await sandbox.run("echo run >> runs; sleep 1")
                assert lost.value.outcome == "unknown"
                assert wire.rules[0].seen > 0
                wire.rules.clear()
                assert await sandbox.files.read_text("runs") == "run\n"

    asyncio.run(tried())


def test_a_service_that_is_busy_is_asked_again_for_the_guest(
    vendor: Vendor, server: dict[str, str], place: Path
) -> None:
    async def tried() -> None:
        async with broken(vendor, server, place) as wire:
            made = await AsyncSandbox.create("broken")
            await made.close()
            busy = answered("429 Too Many Requests", b"{}", "Retry-After: 0\r\n")
            wire.rules.append(Rule(vendor.dial, busy))
            async with await AsyncSandbox.connect(made.address, profile="broken") as sandbox:
                assert (await sandbox.run("echo run >> runs; cat runs")).stdout == "run\n"
                assert wire.rules[0].seen > 1
                await sandbox.kill()

    asyncio.run(tried())


def test_a_slow_or_broken_answer_is_given_up(
    vendor: Vendor, server: dict[str, str], place: Path
) -> None:
    async def tried() -> None:
        async with broken(vendor, server, place, patience=1.0) as wire:
            async with AsyncSandbox.create("broken") as sandbox:
                for fault in (slowed, cut_off):
                    wire.rules[:] = [Rule(vendor.look, fault, 9)]
                    began = time.monotonic()
                    with pytest.raises(TransportError) as caught:
                        await sandbox.info()
                    assert caught.value.outcome == "unknown"
                    assert time.monotonic() - began < 10
                wire.rules.clear()
                assert (await sandbox.info()).id == sandbox.id

    asyncio.run(tried())
