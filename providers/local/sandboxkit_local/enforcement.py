"""Whether the network of sandboxes is really bounded: tried, in living ones, by `doctor`.

Something listens on this machine, at every address by which a sandbox could reach it. A sandbox
tries all of them. What it says of that is not believed: who listens knows who came.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import uuid4

from sandboxkit.egress import outlet
from sandboxkit.errors import SandboxError
from sandboxkit.models import OutputChunk
from sandboxkit.plugins import Check
from sandboxkit.provider import CreateRequest, KillRequest, ProviderSettings, StartRequest

from . import needs
from .provider import LocalProvider

__all__ = ["Enforcement", "checks"]

Enforcement = Literal["boundary", "leaky", "unconfirmed"]
"""Nothing got past it; something did; it could not be tried."""

_LIFETIME = 60.0
_PATIENCE = 30.0  # seconds for all of one sandbox
_ALLOWED = "127.0.0.1"
_OWN = "192.0.2.1"  # nobody's; asked only which address of ours leads there

_HEARD = 2.0  # seconds for a visitor to say the word

# Runs inside: each way to each address, a second each at most, one after the other.
_PROGRAM = """
import json, socket, sys
told = json.loads(sys.argv[1])
word = told["word"].encode()
def ask(family, kind, address, *said):
    try:
        with socket.socket(family, kind) as sock:
            sock.settimeout(1)
            sock.connect(address)
            for text in said:
                sock.sendall(text)
                if not sock.recv(4096):
                    return
    except OSError:
        pass
for host, port in told["addresses"]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    shown = "[%s]" % host if ":" in host else host
    asked = ("CONNECT %s:%d HTTP/1.1\\r\\n\\r\\n" % (shown, port)).encode()
    ask(family, socket.SOCK_STREAM, (host, port), word)
    ask(family, socket.SOCK_DGRAM, (host, port), word)
    ask(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", told["proxy"]), asked, word)
ask(socket.AF_UNIX, socket.SOCK_STREAM, chr(0) + told["abstract"], word)
print("tried")
"""


@dataclass
class _Target:
    """Something on this machine that listens.

    Attributes:
        name: what it is.
        host: its address; the name of a socket that has none.
        port: 0 for that one.
        visits: how often somebody came.
    """

    name: str
    host: str
    port: int = 0
    visits: int = 0


@dataclass
class _Listening:
    """All of them.

    Attributes:
        word: by which a visitor is known to come from a sandbox of ours.
    """

    word: str = field(default_factory=lambda: secrets.token_hex(16))
    targets: list[_Target] = field(default_factory=list)

    def visited(self) -> list[str]:
        """Those where somebody came since this was asked last."""
        found = [target.name for target in self.targets if target.visits]
        for target in self.targets:
            target.visits = 0
        return found


def checks() -> Sequence[Check]:
    """Try every network that sandboxes can have here. Takes a second or two; starts the daemon."""
    return asyncio.run(_checks())


async def _checks() -> list[Check]:
    async with _listening() as listening:
        provider = LocalProvider(ProviderSettings())
        try:
            return [
                _check('network "none"', *await _try_none(provider, listening)),
                _check("network rules, tried", *await _try_rules(provider, listening)),
            ]
        finally:
            await provider.aclose()


def _check(name: str, enforcement: Enforcement, detail: str) -> Check:
    fix = "" if enforcement == "boundary" else f"let no untrusted code run here, {needs.INSTEAD}"
    return Check(name, enforcement != "leaky", f"{enforcement}: {detail}", fix)


async def _try_none(provider: LocalProvider, listening: _Listening) -> tuple[Enforcement, str]:
    problem = await _attempt(provider, listening, None)
    reached = listening.visited()
    if reached:
        return "leaky", f"a sandbox reached {', '.join(reached)} of this machine"
    if problem:
        return "unconfirmed", problem
    return "boundary", f"none of {len(listening.targets)} ways to this machine led anywhere"


async def _try_rules(provider: LocalProvider, listening: _Listening) -> tuple[Enforcement, str]:
    problem = await _attempt(provider, listening, _ALLOWED)
    allowed, *others = listening.targets
    visits = allowed.visits
    reached = [name for name in listening.visited() if name != allowed.name]
    if reached or visits > 1:
        # The one that is allowed may be reached through the proxy, once.
        return "leaky", f"past the rules a sandbox reached {', '.join(reached) or allowed.name}"
    if problem or not visits:
        return "unconfirmed", problem or "not even what the rules allow was reached"
    return "boundary", f"what they allow was reached, and none of {len(others)} others"


async def _attempt(provider: LocalProvider, listening: _Listening, rule: str | None) -> str:
    """Let a sandbox try everything; what kept it from that."""
    request = CreateRequest(
        nonce=uuid4().hex, lifetime=_LIFETIME, network="none" if rule is None else (rule,)
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            info = await provider.create(request)
            try:
                said = await _run(provider, info.id, listening)
            finally:
                await provider.kill(KillRequest(sandbox_id=info.id))
    except TimeoutError:
        return f"a sandbox was not done within {_PATIENCE:g} s"
    except SandboxError as error:
        return error.message
    return "" if said == b"tried\n" else "the program that tries it did not run to its end"


async def _run(provider: LocalProvider, sandbox_id: str, listening: _Listening) -> bytes:
    addresses = [(one.host, one.port) for one in listening.targets if one.port]
    (abstract,) = [one.host for one in listening.targets if not one.port]
    told = {
        "addresses": addresses,
        "abstract": abstract,
        "proxy": outlet.PORT,
        "word": listening.word,
    }
    command = ("python3", "-I", "-c", _PROGRAM, json.dumps(told))
    stream = await provider.start(StartRequest(sandbox_id=sandbox_id, command=command))
    said = b""
    async for event in stream.events():
        if isinstance(event, OutputChunk) and event.stream == "stdout":
            said += event.data
    return said


# -- what listens ---------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _listening() -> AsyncIterator[_Listening]:
    found = _Listening()
    async with contextlib.AsyncExitStack() as stack:
        hosts = {"the loopback": _ALLOWED, "the loopback, IPv6": "::1"}
        if own := _own_address():
            hosts["this machine's address"] = own
        for name, host in hosts.items():
            with contextlib.suppress(OSError):  # there may be no IPv6
                await _listen(stack, found, _Target(name, host))
        target = _Target("an abstract socket", f"sandboxkit-{secrets.token_hex(8)}")
        server = await asyncio.start_unix_server(_visitor(target, found.word), f"\0{target.host}")
        stack.push_async_callback(_close, server)
        found.targets.append(target)
        yield found


async def _listen(stack: contextlib.AsyncExitStack, found: _Listening, target: _Target) -> None:
    server = await asyncio.start_server(_visitor(target, found.word), target.host, 0)
    stack.push_async_callback(_close, server)
    target.port = server.sockets[0].getsockname()[1]
    datagrams, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(target, found.word), (target.host, target.port)
    )
    stack.callback(datagrams.close)
    found.targets.append(target)


async def _close(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()


def _visitor(
    target: _Target, word: str
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(_HEARD):
                target.visits += word.encode() in await reader.read(4096)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    return visit


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, target: _Target, word: str) -> None:
        self._target = target
        self._word = word.encode()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._target.visits += self._word in data


def _own_address() -> str:
    """The address by which this machine is known elsewhere; empty if it is not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.connect((_OWN, 9))  # sends nothing
        return str(sock.getsockname()[0])
    return ""
