"""Several who send on one stream at once."""

from __future__ import annotations

import asyncio
from typing import Any

from sandboxkit.guest.stream import WINDOW, GuestStream


class Wire:
    """A connection that only notes what was sent."""

    usable = True
    congested = False

    def __init__(self) -> None:
        self.sent = b""

    def send_data(self, number: int, data: memoryview, fin: bool = False) -> None:
        self.sent += data


def test_two_who_wait_for_credit_both_get_it_in_turn() -> None:
    async def main() -> None:
        wire: Any = Wire()
        stream = GuestStream()
        stream._connection = wire
        await stream.send(bytes(WINDOW))
        senders = [asyncio.create_task(stream.send(name * 1000)) for name in (b"a", b"b", b"c")]
        await asyncio.wait(senders, timeout=0.01)  # all wait now
        for _ in range(6):
            stream.credit_received(500)
            await asyncio.wait(senders, timeout=0.01)
        await asyncio.wait_for(asyncio.gather(*senders), 10)
        assert wire.sent[WINDOW:] == b"a" * 1000 + b"b" * 1000 + b"c" * 1000

    asyncio.run(main())
