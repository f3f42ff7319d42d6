"""A guest that is carried into a sandbox of somebody else's by one of its commands.

Where a vendor's sandbox can run a command with its standard input open and its output streamed,
that is enough: the command is a small program, `loader`, which finds the guest that runs there
already, or starts it from an archive that it is sent, and then joins its own streams to the guest's
socket. What there is to run in the sandbox is a Python 3.8 or later.
"""

from __future__ import annotations

from .archive import command, terminal_command
from .carrier import Carrier
from .joining import Orders, join, join_new

__all__ = ["Carrier", "Orders", "command", "join", "join_new", "terminal_command"]
