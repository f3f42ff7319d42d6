"""What a forked child does with the connections it inherits: it lets go of its copies.

The child must not write to them, and while it held them the guest would not see the parent's end.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from typing import Protocol

__all__ = ["inherited"]


class Inherited(Protocol):
    """A connection that may know the socket it runs over."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """What carries the connection."""


inherited: weakref.WeakSet[Inherited] = weakref.WeakSet()
"""The open connections of this process."""

_kept: list[Inherited] = []


def _let_go() -> None:
    connections = [*inherited]
    inherited.clear()
    # Finalising a transport would warn, and unregister from the poll set shared with the parent.
    _kept.extend(connections)
    null = -1
    for connection in connections:
        transport = connection.transport
        found = transport.get_extra_info("socket") if transport is not None else None
        if found is None or found.fileno() < 0:
            continue
        if null < 0:
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        # The number stays taken, so that a close by the transport later closes nobody else's.
        os.dup2(null, found.fileno(), inheritable=False)
    if null >= 0:
        os.close(null)


os.register_at_fork(after_in_child=_let_go)
