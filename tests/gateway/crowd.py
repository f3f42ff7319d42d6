"""Many sandboxes and many streams through one gateway, all at once, each with a word of its own."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2b import AsyncSandbox
from e2b.api import max_connections

from tests.gateway.conftest import Served

LINES = 500
"""What each stream says: its own word, so often."""
PATIENCE = 300.0

SPEAK = """
echo ready; : < gate
for ((i = 0; i < {lines}; i++)); do echo {nonce} $i; done
"""
"""A stream that waits at a gate, so that all are there before the first one speaks."""


@dataclass(frozen=True)
class Figures:
    """What was seen.

    Attributes:
        created: seconds until all sandboxes had answered.
        gathered: seconds until all streams stood at their gates.
        spoken: seconds until all had said everything.
        wrong: streams that lost something or said another's.
        missing: sandboxes that were lost.
        resident: bytes of memory that the gateway held at most.
        descriptors: that it had open.
        crossed: bytes that the slow reader's stream had sent before it stalled, as far as seen.
    """

    created: float
    gathered: float
    spoken: float
    wrong: int
    missing: int
    resident: int
    descriptors: int
    crossed: int


def resident(gateway: Served) -> int:
    """The most memory a gateway has held, in bytes."""
    lines = Path(f"/proc/{gateway.process.pid}/status").read_text().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


def slow_reader(gateway: Served, sandbox: AsyncSandbox) -> socket.socket:
    """A client that asks for endless output and reads nothing of it."""
    message = json.dumps({"process": {"cmd": "/bin/cat", "args": ["/dev/zero"]}}).encode()
    body = b"\0" + len(message).to_bytes(4, "big") + message
    head = [
        "POST /process.Process/Start HTTP/1.1",
        "Host: x",
        f"E2b-Sandbox-Id: {sandbox.sandbox_id}",
        "E2b-Sandbox-Port: 49983",
        f"X-Access-Token: {sandbox._envd_access_token}",
        "Content-Type: application/connect+json",
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    client = socket.create_connection(gateway.host())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall("\r\n".join(head).encode() + body)
    return client


class Crowd:
    """Sandboxes of one gateway, and what streams from them.

    Args:
        gateway: where they are.
        sandboxes: how many.
        streams: how many in all.
    """

    def __init__(self, gateway: Served, sandboxes: int, streams: int) -> None:
        self._gateway = gateway
        self._count = sandboxes
        self._streams = streams
        self._ready = asyncio.Semaphore(0)

    async def run(self) -> Figures:
        # Each stream is a connection, and the SDK has a limit of its own, read when it is imported.
        assert max_connections > self._streams + self._count, "set E2B_MAX_CONNECTIONS"
        began = time.monotonic()
        mark = secrets.token_hex(8)
        making = [self._made(mark) for _ in range(self._count)]
        made = await asyncio.gather(*making)
        created = time.monotonic()
        try:
            return await self._speak(made, began, created)
        finally:
            await asyncio.gather(*(one.kill() for one in made))

    async def _made(self, mark: str) -> AsyncSandbox:
        params = {**self._gateway.params, "request_timeout": PATIENCE}
        sandbox = await AsyncSandbox.create(timeout=3600, metadata={"crowd": mark}, **params)
        name = f"I am {sandbox.sandbox_id}"
        await sandbox.files.write("name", name, request_timeout=PATIENCE)
        await sandbox.commands.run("mkfifo gate", timeout=0, request_timeout=PATIENCE)
        return sandbox

    async def _speak(self, made: list[AsyncSandbox], began: float, created: float) -> Figures:
        with closing(slow_reader(self._gateway, made[0])) as stalled:
            streams = [
                asyncio.create_task(self._stream(made[number % len(made)]))
                for number in range(self._streams)
            ]
            for _ in streams:
                await self._ready.acquire()
            gathered = time.monotonic()
            await asyncio.gather(*(self._open(one) for one in made))
            right = await asyncio.gather(*streams)
            spoken = time.monotonic()
            names = await asyncio.gather(*(one.files.read("name") for one in made))
            stalled.setblocking(False)
            crossed = len(stalled.recv(1 << 24))
        descriptors = len(os.listdir(f"/proc/{self._gateway.process.pid}/fd"))
        return Figures(
            created=created - began,
            gathered=gathered - created,
            spoken=spoken - gathered,
            wrong=right.count(False),
            missing=sum(
                f"I am {one.sandbox_id}" != name for one, name in zip(made, names, strict=True)
            ),
            resident=resident(self._gateway),
            descriptors=descriptors,
            crossed=crossed,
        )

    async def _open(self, sandbox: AsyncSandbox) -> None:
        # Held open, so that nobody comes too late to pass.
        command = "exec 9<> gate; sleep 3600"
        options: dict[str, Any] = {"timeout": 0, "request_timeout": PATIENCE}
        await sandbox.commands.run(command, background=True, **options)

    async def _stream(self, sandbox: AsyncSandbox) -> bool:
        """Whether a stream said its own word, all of it, in order, and nothing else."""
        nonce = secrets.token_hex(8)
        said: list[str] = []

        def hear(text: str) -> None:
            if not said:
                self._ready.release()
            said.append(text)

        options: dict[str, Any] = {"timeout": 0, "request_timeout": PATIENCE}
        command = SPEAK.format(nonce=nonce, lines=LINES)
        result = await sandbox.commands.run(command, on_stdout=hear, **options)
        expected = "ready\n" + "".join(f"{nonce} {number}\n" for number in range(LINES))
        return "".join(said) == expected == result.stdout
