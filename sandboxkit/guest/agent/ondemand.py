"""Operations whose modules are imported when first wanted.

An agent that begins in a fresh interpreter imports what it serves at once, while somebody waits;
one that is forked from a warm process has it all, and importing again takes no time.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import Dict, Iterable

from .server import Server
from .stream import Message, Stream

__all__ = ["GROUPS", "Group", "install"]

# Seconds after which what nobody has wanted yet is imported all the same, so that nobody waits.
_QUIET = 1.0


class Group:
    """Operations of one module, which has a function ``install(server)``.

    Args:
        server: to offer them at.
        module: beside this one.
        ops: their names.
        feature: what clients know the lot by.
    """

    def __init__(self, server: Server, module: str, ops: Iterable[str], feature: str) -> None:
        self._server = server
        self._module = module
        self._ops = tuple(ops)
        self._there = False
        for name in self._ops:
            server.add_op(name, self._first)
        server.add_feature(feature)

    def bring(self) -> None:
        """Import the module, which then offers the operations itself. Idempotent.

        Raises:
            OSError: it cannot be read now, for want of descriptors; perhaps another time.
        """
        if not self._there:
            module = importlib.import_module("." + self._module, __package__)
            module.install(self._server)
            self._there = True

    def bring_early(self) -> None:
        """The same, before anybody wants it; if that fails, whoever wants it hears of it."""
        with contextlib.suppress(OSError):
            self.bring()

    def _first(self, stream: Stream, args: Message) -> None:
        self.bring()
        self._server.open(stream, args)


GROUPS = (
    (
        "contexts",
        ("run_code", "create_context", "list_contexts", "restart_context", "remove_context"),
        "code",
    ),
    ("files", ("read", "write", "stat", "list", "mkdir", "remove", "rename"), "files"),
    ("filetrees", ("walk_tree", "stat_many", "digest_many", "read_many", "write_many"), "trees"),
    ("metrics", ("metrics",), "metrics"),
    ("ports", ("connect_port",), "ports"),
    ("watch", ("watch",), "watch"),
)


def install(server: Server) -> Dict[str, Group]:
    """Offer them all; returns them by module."""
    groups = {}
    for module, ops, feature in GROUPS:
        group = groups[module] = Group(server, module, ops, feature)
        server.loop.call_later(_QUIET, group.bring_early)
    return groups
