"""A live container through the guest, and through the engine's own API, in one run.

    .venv/bin/python benchmarks/docker_exec.py [ROUNDS [CREATES]]

Rounds of both are interleaved in random order; every answer carries a number that is checked. A
creation includes the first command in what was made. The figures are medians in milliseconds, with
the ratio of the two.
"""

from __future__ import annotations

import asyncio
import io
import random
import statistics
import sys
import tarfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiodocker

from sandboxkit import AsyncSandbox

IMAGE = "sandboxkit-test:base"
CREATED = (
    "AutoRemove",
    "NetworkMode",
    "CapDrop",
    "CapAdd",
    "SecurityOpt",
    "LogConfig",
    "PidsLimit",
)

Round = Callable[[int], Awaitable[None]]


class Engine:
    """The same things with the SDK alone."""

    def __init__(self, docker: aiodocker.Docker, container: Any, config: dict[str, Any]) -> None:
        self.docker = docker
        self.container = container
        self.config = config
        self.left: list[Any] = []

    async def command(self, number: int) -> None:
        await self._exec(self.container, number)

    async def _exec(self, container: Any, number: int) -> None:
        made = await container.exec(["echo", str(number)])
        async with made.start(detach=False) as stream:
            message = await stream.read_out()
        assert message is not None
        assert message.data == f"{number}\n".encode()

    async def write(self, number: int) -> None:
        content = f"{number:01024d}".encode()
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            info = tarfile.TarInfo("raw")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        await self.container.put_archive("/home/user", archive.getvalue())

    async def create(self, number: int) -> None:
        made = await self.docker.containers.create(self.config)
        self.left.append(made)
        await made.start()
        await self._exec(made, number)

    async def tidy(self) -> None:
        while self.left:
            await self.left.pop().delete(force=True)


class Guest:
    """Through sandboxkit."""

    def __init__(self, sandbox: AsyncSandbox) -> None:
        self.sandbox = sandbox
        self.left: list[AsyncSandbox] = []

    async def command(self, number: int) -> None:
        assert (await self.sandbox.run(["echo", str(number)])).stdout == f"{number}\n"

    async def write(self, number: int) -> None:
        await self.sandbox.files.write("file", f"{number:01024d}")

    async def create(self, number: int) -> None:
        made = await AsyncSandbox.create("docker", image=IMAGE)
        self.left.append(made)
        assert (await made.run(["echo", str(number)])).stdout == f"{number}\n"

    async def tidy(self) -> None:
        while self.left:
            made = self.left.pop()
            await made.kill()
            await made.close()


async def measure(
    engine: Round, guest: Round, tidy: Callable[[], Awaitable[None]], rounds: int
) -> tuple[list[float], list[float]]:
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(-2, rounds):
        for which in random.sample((0, 1), 2):
            start = time.perf_counter()
            await (engine, guest)[which](number + 1000)
            if number >= 0:
                taken[which].append(1000 * (time.perf_counter() - start))
            await tidy()
    return taken


async def main(rounds: int, creates: int) -> None:
    async with AsyncSandbox.create("docker", image=IMAGE) as sandbox:
        docker = aiodocker.Docker()
        container = docker.containers.container(sandbox.id)
        shown = await container.show()
        config = {
            "Image": IMAGE,
            "Cmd": ["sleep", "300"],
            "User": "0:0",
            "HostConfig": {name: shown["HostConfig"][name] for name in CREATED},
        }
        engine, guest = Engine(docker, container, config), Guest(sandbox)

        async def tidy() -> None:
            await engine.tidy()
            await guest.tidy()

        for name, count in (
            ("command", rounds),
            ("write", rounds),
            ("create", creates),
        ):
            raw, ours = await measure(getattr(engine, name), getattr(guest, name), tidy, count)
            middle = statistics.median(raw), statistics.median(ours)
            print(
                f"{name:8} engine {middle[0]:8.2f} ms   guest {middle[1]:8.2f} ms   "
                f"guest/engine {middle[1] / middle[0]:.3f}   n={count}"
            )
        await docker.close()


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]] or [60]
    asyncio.run(main(given[0], given[1] if given[1:] else max(5, given[0] // 4)))
