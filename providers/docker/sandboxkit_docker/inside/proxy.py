"""The first process of the container that lets one sandbox out: its egress proxy.

Its orders are one line of JSON on standard input, as a sandbox's are; it answers with one line when
a guest can come, becomes an ordinary user once that has come, and ends with it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any, Dict, NoReturn

from sandboxkit.egress.proxy import serve

from . import outlet
from .orders import read_orders, say

__all__ = ["main"]

_NOBODY = 65_534
_PR_SET_DUMPABLE = 4


def main() -> NoReturn:
    """Serve until the sandbox ends."""
    orders: Dict[str, Any] = read_orders()
    path = sys.argv[1]
    listener = outlet.listen(path)
    say({"event": "ready"})
    try:
        line, accepting = outlet.take(listener, path, orders["patience"])
    except OSError as error:
        sys.stderr.write(f"no sandbox has come: {error}\n")
        os._exit(1)
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    serve(accepting, orders["rules"], line)
    os._exit(0)  # threads may be waiting for a resolver
