"""What breaks between the plugin and Daytona ends in the right error, and nothing happens twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sandboxkit import AsyncSandbox, RateLimitError, TransportError
from tests.daytona.faults import Rule, Wire, answered, cut_off, dropped, slowed, wire_to

CREATE = b"POST /api/sandbox "
DIAL = b"GET /toolbox/"
LOOK = b"GET /api/sandbox/"


@pytest.fixture(scope="module")
def server(private_daemon: None) -> Iterator[dict[str, str]]:
    """What leads to a server that speaks Daytona's protocol in front of the local provider."""
    serve = [sys.executable, "-m", "sandboxkit.cli", "serve", "--json", "--wire", "daytona"]
    serve += ["--port", "0", "--profile", "local", "--fidelity", "vendor"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line == "}\n":
                break
        yield json.loads(said)["env"]
        process.send_signal(signal.SIGINT)
        process.wait(20)


@asynccontextmanager
async def broken(
    server: dict[str, str], place: Path, patience: float = 20.0
) -> AsyncIterator[Wire]:
    """A wire to the server, which the profile ``daytona`` takes; ``direct`` goes past it."""
    host, port = server["DAYTONA_API_URL"].split("/")[2].split(":")
    async with wire_to(host, int(port)) as (wire, address):
        (place / "sandboxkit").mkdir()
        settings = (
            'provider = "daytona"\nguest_user = ""\nwithout = ["images", "port_urls"]\n'
            f'api_key = "{server["DAYTONA_API_KEY"]}"\n'
        )
        (place / "sandboxkit" / "config.toml").write_text(
            f"[profiles.daytona]\n{settings}request_timeout = {patience}\n"
            f'api_url = "http://{address}/api"\n'
            f'[profiles.direct]\n{settings}api_url = "{server["DAYTONA_API_URL"]}"\n'
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
    server: dict[str, str], place: Path
) -> None:
    async def tried() -> None:
        async with broken(server, place) as wire:
            busy = answered("429 Too Many Requests", b"{}", "Retry-After: 0\r\n")
            wire.rules += [Rule(CREATE, busy), Rule(CREATE, dropped, times=2)]
            async with AsyncSandbox.create("daytona") as sandbox:
                assert await there() == [sandbox.id]
                assert (await sandbox.run("echo one")).stdout == "one\n"
            assert await there() == []

            wire.rules[:] = [Rule(CREATE, answered("429 Busy", b"{}", "Retry-After: 3600\r\n"), 9)]
            with pytest.raises(RateLimitError) as limited:
                await AsyncSandbox.create("daytona")
            assert limited.value.outcome == "not_started"
            assert limited.value.retry_after == 3600
            assert wire.rules[0].seen == 1

            wire.rules[:] = [Rule(CREATE, dropped, 9)]
            with pytest.raises(TransportError) as lost:
                await AsyncSandbox.create("daytona")
            assert lost.value.outcome == "unknown"
            wire.rules.clear()
            assert await there() == []

    asyncio.run(tried())


def test_a_command_whose_connection_breaks_goes_on_and_runs_once(
    server: dict[str, str], place: Path
) -> None:
    async def tried() -> None:
        async with broken(server, place) as wire:
            async with AsyncSandbox.create("daytona") as sandbox:
                heard: list[str] = []
                begun = asyncio.Event()

                def hear(text: str) -> None:
                    heard.append(text)
                    begun.set()

                command = "echo run >> runs; for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done"
                running = asyncio.create_task(sandbox.run(command, on_stdout=hear))
                await begun.wait()
                bad = answered("502 Bad Gateway", b"<html>bad gateway</html>")
                wire.rules.append(Rule(DIAL, bad))
                wire.cut()
                result = await running
                assert result.stdout == "".join(heard) == "1\n2\n3\n4\n5\n6\n"
                assert wire.rules[0].seen > 1
                assert await sandbox.files.read_text("runs") == "run\n"

    asyncio.run(tried())


def test_a_command_whose_connection_stays_broken_is_not_run_again(
    server: dict[str, str], place: Path
) -> None:
    async def tried() -> None:
        async with broken(server, place) as wire:
            sandbox = await AsyncSandbox.create("daytona")
            started = asyncio.Event()
            command = "echo run >> runs; echo begun; sleep 5"
            running = asyncio.create_task(
                sandbox.run(command, on_stdout=lambda text: started.set())
            )
            await started.wait()
            wire.rules.append(Rule(DIAL, answered("502 Bad Gateway"), 1000))
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


def test_a_slow_or_broken_answer_is_given_up(server: dict[str, str], place: Path) -> None:
    async def tried() -> None:
        async with broken(server, place, patience=1.0) as wire:
            async with AsyncSandbox.create("daytona") as sandbox:
                for fault in (slowed, cut_off):
                    wire.rules[:] = [Rule(LOOK, fault, 9)]
                    began = time.monotonic()
                    with pytest.raises(TransportError) as caught:
                        await sandbox.info()
                    assert caught.value.outcome == "unknown"
                    assert time.monotonic() - began < 10
                wire.rules.clear()
                assert (await sandbox.info()).id == sandbox.id

    asyncio.run(tried())
