"""Reaching a guest over the command that carries it."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from ...errors import InvalidRequestError, ProviderUnavailableError, SandboxError, TransportError
from ..connection import GuestConnection
from .archive import packed
from .carrier import Carrier
from .messages import ARCHIVE, FAILED, NEED, READY, REFUSED, lines, message, variables
from .transport import IDLE_PATIENCE, CarriedTransport

__all__ = ["Orders", "join", "join_new"]

PATIENCE = 30.0
"""Seconds within which the loader must have said that the guest serves."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a guest that is started is told of its sandbox.

    Attributes:
        user: who commands run as; ``None`` is the one named ``user`` or of uid 1000 where the
            guest runs as root and there is one, else whoever the guest runs as.
        workdir: where relative paths start, made if it is missing; ``None`` is the user's home.
        shell: how a command of text is run; empty picks ``bash -c`` or ``sh -c``.
        env: on top of the variables that the vendor gives to commands.
    """

    user: str | None = None
    workdir: str | None = None
    shell: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


async def join(
    carrier: Carrier, factory: Callable[[], P], orders: Orders, *, fresh: bool = False
) -> tuple[asyncio.Transport, P]:
    """Connect a protocol to the guest, which is started if there is none.

    Args:
        carrier: was started with `command`.
        factory: makes the protocol.
        orders: for a guest that has to be started.
        fresh: there surely is none, so what it is made of is sent unasked, which saves a round
            trip. Where commands may have large variables, `join_new` saves more.

    Raises:
        ProviderUnavailableError: no guest can run there.
        InvalidRequestError: the orders cannot be carried out.
        TransportError: the loader did not answer in time.
    """
    output = lines(carrier.output())
    if fresh:
        await _sent(carrier, _archive(orders))
    await _ready(carrier, output, None if fresh else orders)
    transport, protocol = _transport(factory)
    transport.begin(carrier, output)
    return transport, protocol


async def join_new(
    start: Callable[[Mapping[str, str]], Awaitable[Carrier]],
    factory: Callable[[], P],
    orders: Orders,
) -> tuple[asyncio.Transport, P]:
    """As `join` in a sandbox where there surely is no guest yet, in a single round trip.

    Args:
        start: starts the carrier with these variables, which hold what would be sent to it.
        factory: makes the protocol; what that writes at once travels along.
        orders: for the guest.

    Raises:
        SandboxError: as `join`, or the carrier cannot be started.
    """
    transport, protocol = _transport(factory)
    carrier = await start(variables(_archive(orders) + transport.taken()))
    output = lines(carrier.output())
    await _ready(carrier, output, None)
    transport.begin(carrier, output)
    return transport, protocol


def _transport(factory: Callable[[], P]) -> tuple[CarriedTransport, P]:
    protocol = factory()
    assert isinstance(protocol, asyncio.Protocol)
    busy = protocol.has_streams if isinstance(protocol, GuestConnection) else lambda: False
    return CarriedTransport(protocol, busy), protocol


async def _sent(carrier: Carrier, content: bytes) -> None:
    try:
        await carrier.send(content)
    except BaseException:
        await carrier.stop()
        raise


async def _ready(carrier: Carrier, output: AsyncIterator[bytes], orders: Orders | None) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await _until_ready(carrier, output, orders)
    except BaseException as error:
        await carrier.stop()
        if isinstance(error, TimeoutError) and not isinstance(error, SandboxError):
            raise TransportError(
                f"the guest did not begin to serve within {PATIENCE:g} s", outcome="not_started"
            ) from None
        raise


def _archive(orders: Orders) -> bytes:
    told = json.dumps({**asdict(orders), "env": dict(orders.env)}).encode()
    return message(ARCHIVE, struct.pack("!I", len(told)) + told + packed(), IDLE_PATIENCE)


async def _until_ready(
    carrier: Carrier, output: AsyncIterator[bytes], orders: Orders | None
) -> None:
    async for line in output:
        if line == READY:
            return
        if line == NEED and orders is not None:
            await carrier.send(_archive(orders))
            orders = None
        elif line.startswith(REFUSED):
            raise InvalidRequestError(line.removeprefix(REFUSED).decode("utf-8", "replace"))
        elif line.startswith(FAILED):
            reason = line.removeprefix(FAILED).decode("utf-8", "replace")
            raise ProviderUnavailableError(f"no guest can run in the sandbox: {reason}")
    said = carrier.complaint.strip()
    if "python3" in said and "not found" in said:
        raise ProviderUnavailableError(
            "this template has no python3, which sandboxkit's guest runs in",
            hint="add Python 3.8 or later to the template (apt-get install python3)",
        )
    raise ProviderUnavailableError(
        f"the guest could not be started in the sandbox: {said or 'it said nothing'}"
    )
