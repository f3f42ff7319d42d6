"""An engine on another machine, reached as Docker's own command line does it: by `ssh`.

Each connection is one ``ssh ADDRESS docker system dial-stdio``, whose standard streams are the
engine's socket over there. So keys, agents, jump hosts and known hosts are what the user's
configuration of ssh says, and connections can be shared by its ``ControlMaster``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import socket
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from aiohttp.client_proto import ResponseHandler

from .shielded import finished

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.tracing import Trace

__all__ = ["SAID", "SshConnector", "command"]

SAID = "ssh: "
"""Begins the messages of errors that quote what ssh has said."""

_OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-T")
_LONGEST = 2000  # bytes that are kept of what it says
# A server refuses some of those that have not logged in yet when there are more than ten of them
# (MaxStartups). Nobody says when a login is over: at the first answer, or by then for sure.
_LOGINS = 8
_LOGIN = 3.0  # seconds


def command(address: str) -> list[str]:
    """The program that joins its standard streams to an engine.

    Args:
        address: ``ssh://[USER@]HOST[:PORT][/SOCKET]``.

    Raises:
        ValueError: it is not like that.
    """
    parts = urlsplit(address)
    if parts.password is not None:
        raise ValueError("ssh takes no password from an address; use a key")
    if not parts.hostname or parts.query or parts.fragment:
        raise ValueError("it is not of the form ssh://[USER@]HOST[:PORT][/SOCKET]")
    remote = ["docker", "system", "dial-stdio"]
    if parts.path.strip("/"):
        remote[1:1] = ["--host", f"unix://{parts.path}"]
    user = ("-l", parts.username) if parts.username else ()
    port = ("-p", str(parts.port)) if parts.port else ()
    return ["ssh", *_OPTIONS, *user, *port, "--", parts.hostname, shlex.join(remote)]


class SshConnector(aiohttp.BaseConnector):
    """Connects the SDK's client to an engine behind ssh.

    Args:
        address: as `command` takes it.

    Raises:
        ValueError: it is wrong.
    """

    def __init__(self, address: str) -> None:
        self._command = command(address)
        super().__init__(limit=0)
        self._logins = asyncio.Semaphore(_LOGINS)
        self._lines: dict[_Line, asyncio.Task[None]] = {}

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        await self._logins.acquire()
        line = _Line(self._loop, self._logins.release)
        try:
            ours = await line.begin(self._command)
            await self._loop.create_connection(lambda: line, sock=ours)
        except FileNotFoundError:
            line.give_up()
            message = f"{SAID}there is no such program here (apt-get install openssh-client)"
            raise aiohttp.ClientConnectionError(message) from None
        except BaseException:
            line.give_up()
            raise
        self._lines[line] = self._loop.create_task(line.ended())
        self._lines[line].add_done_callback(lambda _: self._lines.pop(line))
        return line

    async def hang_up(self) -> None:
        """End what is still connected; returns when no ssh is left."""
        for line in self._lines:
            if line.transport is not None:
                line.transport.abort()
        await asyncio.gather(*self._lines.values())


class _Line(ResponseHandler):
    """One connection, and the ssh that carries it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, logged_in: Callable[[], None]) -> None:
        super().__init__(loop)
        self._logged_in = logged_in
        self._waiting: asyncio.TimerHandle | None = loop.call_later(_LOGIN, self._answered)
        self._lost = asyncio.Event()
        self._errors = -1
        self._said = b""
        self._process: subprocess.Popen[bytes] | None = None

    async def begin(self, words: list[str]) -> socket.socket:
        """Start it; our end of its standard streams."""
        ours, theirs = socket.socketpair()
        self._errors, errors = os.pipe()
        os.set_blocking(self._errors, False)

        # In a session of its own: an interrupt from the terminal is ours to handle, and not its.
        def start() -> subprocess.Popen[bytes]:
            streams = theirs.fileno()
            return subprocess.Popen(
                words, stdin=streams, stdout=streams, stderr=errors, start_new_session=True
            )

        try:
            self._process = await finished(asyncio.to_thread(start), _end)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(errors)
        self._loop.add_reader(self._errors, self._listen)
        ours.setblocking(False)
        return ours

    def data_received(self, data: bytes) -> None:
        self._answered()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        # It says what is wrong before it hangs up, so that is there by now.
        self._listen()
        said = self._said.decode("utf-8", "replace").strip()
        if said and (exc is None or isinstance(exc, OSError)):
            exc = ConnectionError(SAID + said.splitlines()[-1])
        super().connection_lost(exc)
        self.give_up()

    async def ended(self) -> None:
        """Return when the program has ended, which it is told to when the connection is lost."""
        assert self._process is not None
        try:
            await self._lost.wait()
        finally:
            await _end(self._process)

    def give_up(self) -> None:
        """Hold nothing any more but the program. Idempotent."""
        self._answered()
        self._lost.set()
        if self._errors >= 0:
            self._loop.remove_reader(self._errors)
            os.close(self._errors)
            self._errors = -1

    def _answered(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
            self._logged_in()

    def _listen(self) -> None:
        if self._errors < 0:
            return
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._errors, _LONGEST):
                self._said = (self._said + data)[-_LONGEST:]
            self._loop.remove_reader(self._errors)


async def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    await asyncio.to_thread(process.wait)
