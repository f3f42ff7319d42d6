"""Pages from a sandbox without a network, in a real browser; and pages that attack others."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from sandboxkit import PortURL, Sandbox
from sandboxkit.conformance.suite.port_servers import WEB, serve
from tests.ports.browser import browser
from tests.ports.port_client import place, token

pytestmark = pytest.mark.needs("ports", "network_none")


def get(url: PortURL, path: str) -> object:
    return httpx.get(url.bare + path, headers=dict(url.headers), trust_env=False).json()


@pytest.fixture
def url(sandbox: Sandbox) -> PortURL:
    assert sandbox.run("cat /proc/net/route").stdout.count("\n") <= 1, "it has a network"
    serve(sandbox, WEB, 8000)
    return sandbox.url(8000)


def test_a_page_with_all_its_parts(url: PortURL) -> None:
    async def main() -> None:
        async with browser() as page:
            await page.visit(url)
            found = await page.found()
            assert found["location"] == url.bare + "/"
            assert found["colour"] == "rgb(1, 2, 3)"
            assert found["width"] == 7
            assert found["echoed"] == "echo: hello"
            assert (found["fetched"]["method"], found["fetched"]["body"]) == ("POST", "x")
            names = {name.lower() for name, _ in found["fetched"]["headers"]}
            assert not names & {"cookie", "authorization"}
            assert await page.evaluate("document.cookie") == ""
            # A visit of the address with its token once more, and of another page below it.
            await page.visit(url + "/?again")
            assert (await page.found())["location"] == url.bare + "/?again"
            # And as people type it: without the token, in the browser that has been there.
            stranger = url.bare.replace("127.0.0.1", "localhost")
            assert "ERR_INVALID_AUTH_CREDENTIALS" in await page.failure(stranger + "/headers")
            await page.visit(url.bare + "/headers")
            assert "GET" in await page.evaluate("document.documentElement.innerText")

    asyncio.run(main())


def test_a_page_of_another_sandbox_cannot_use_this_one(target, url: PortURL) -> None:
    async def main(attacker: PortURL) -> None:
        async with browser() as page:
            await page.visit(url + "/headers")  # the victim's cookie is there
            await page.visit(attacker + "/attack?" + "{}:{}".format(*place(url)))
            tried = await page.found()
            assert (tried["fetch"], tried["image"], tried["script"], tried["socket"]) == (
                ("failed",) * 4
            ), tried
            assert get(url, "/hits") == []
            await page.follow(url.bare + "/headers")  # but a link to it is a link
            assert "GET" in await page.evaluate("document.documentElement.innerText")

    with target.create() as other:
        serve(other, WEB, 8000)
        attacker = other.url(8000)
        asyncio.run(main(attacker))
        cookies = json.dumps(get(attacker, "/seen_cookies"))
        assert "sandboxkit" not in cookies
        assert token(url) not in cookies


def test_a_page_of_another_program_cannot_use_it_either(url: PortURL) -> None:
    async def main(port: int) -> None:
        async with browser() as page:
            await page.visit(url + "/headers")
            for host in ("127.0.0.1", "localhost"):
                await page.visit(f"http://{host}:{port}/attack?" + "{}:{}".format(*place(url)))
                tried = await page.found()
                assert tried["socket"] == tried["fetch"] == "failed", tried
            assert get(url, "/hits") == []

    with attacking_program() as port:
        asyncio.run(main(port))


@contextmanager
def attacking_program() -> Iterator[int]:
    page = WEB.partition('ATTACK = b"""')[2].partition('"""')[0].encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
