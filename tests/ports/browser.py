"""A real browser without a window, driven over its own debugging protocol."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--remote-debugging-port=0",
)


class Page:
    """One tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []

    async def open(self) -> None:
        made = await self._ask("Target.createTarget", url="about:blank")
        attached = await self._ask("Target.attachToTarget", targetId=made["targetId"], flatten=True)
        self._session = attached["sessionId"]
        await self._ask("Page.enable")
        await self._ask("Page.setLifecycleEventsEnabled", enabled=True)

    async def visit(self, url: str) -> None:
        """Go there; returns when the page and its parts are loaded."""
        self._events.clear()
        answer = await self._ask("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        await self.loaded()

    async def failure(self, url: str) -> str:
        """Why one cannot go there; where a person would be asked for a password, nobody is."""
        self._events.clear()
        answer = await self._ask("Page.navigate", url=url)
        # The browser's own page that says so is there only now, and must not pass for a later one.
        await self._until("Page.lifecycleEvent", name="load", loaderId=answer["loaderId"])
        return str(answer.get("errorText", ""))

    async def loaded(self) -> None:
        await self._until("Page.loadEventFired")

    async def _until(self, method: str, **said: str) -> None:
        """Wait until this is told."""
        while not any(
            event["method"] == method and said.items() <= event["params"].items()
            for event in self._events
        ):
            self._take(json.loads(await self._connection.recv()))

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression, or of what it promises."""
        answer = await self._ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def found(self) -> Any:
        """What the page's script has left in ``window.found`` as it changed the title."""
        told = await self.evaluate(
            "new Promise(done => { const look = () => window.found ? done(window.found) "
            ": setTimeout(look, 20); look(); })"
        )
        return json.loads(told)

    async def follow(self, url: str) -> None:
        """Click a link in the page."""
        self._events.clear()
        link = "document.getElementById('link')"
        await self.evaluate(f"{link}.href = {json.dumps(url)}; {link}.click()")
        await self.loaded()

    async def _ask(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        await self._connection.send(json.dumps(message))
        while True:
            told = json.loads(await self._connection.recv())
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]
            self._take(told)

    def _take(self, told: dict[str, Any]) -> None:
        if "method" in told:
            self._events.append(told)


@asynccontextmanager
async def browser() -> AsyncIterator[Page]:
    """A page of a browser that has never been used before."""
    program = shutil.which("chromium")
    assert program, "install the package chromium"
    profile = Path(tempfile.mkdtemp(prefix="browser-"))
    process = await asyncio.create_subprocess_exec(
        *(program, *FLAGS, f"--user-data-dir={profile}", "about:blank"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        address = b""
        while b"DevTools listening on " not in address:
            address = await process.stderr.readline()
            assert address, "the browser ended as it started"
        draining = asyncio.create_task(process.stderr.read())
        endpoint = address.decode().split()[-1]
        async with websockets.connect(endpoint, proxy=None, max_size=None) as connection:
            page = Page(connection)
            await page.open()
            yield page
            await connection.send(json.dumps({"id": 1_000_000, "method": "Browser.close"}))
        await asyncio.wait_for(process.wait(), 20)
        await draining
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        shutil.rmtree(profile, ignore_errors=True)
