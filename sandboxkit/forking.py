"""What a forked child does with the sockets it inherits: it lets go of its copies.

The child must not write to them, and while it held them the other side would not see the parent's
end.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from typing import Protocol

__all__ = ["inherited"]


class _Descriptor(Protocol):
    def fileno(self) -> int: ...


class Inherited(Protocol):
    """What holds sockets that a forked child has no use for."""

    def held_sockets(self) -> Iterable[_Descriptor]:
        """Those that are open."""


inherited: weakref.WeakSet[Inherited] = weakref.WeakSet()
"""What holds open sockets in this process."""

_kept: list[Inherited] = []


def _let_go() -> None:
    holders = [*inherited]
    inherited.clear()
    # Finalising a transport would warn, and unregister from the poll set shared with the parent.
    _kept.extend(holders)
    null = -1
    for holder in holders:
        for held in holder.held_sockets():
            if held.fileno() < 0:
                continue
            if null < 0:
                null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            # The number stays taken, so that a close by its owner later closes nobody else's.
            os.dup2(null, held.fileno(), inheritable=False)
    if null >= 0:
        os.close(null)


os.register_at_fork(after_in_child=_let_go)
