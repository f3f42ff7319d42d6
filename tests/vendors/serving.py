"""A server that speaks a vendor's protocol in front of the local provider."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["serving"]


@contextmanager
def serving(wire: str, *options: str) -> Iterator[dict[str, str]]:
    """The variables that lead to it; it is as weak as the vendor."""
    serve = [sys.executable, "-m", "sandboxkit.cli", "serve", "--json", "--wire", wire]
    serve += ["--port", "0", "--profile", "local", "--fidelity", "vendor", *options]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line == "}\n":
                break
        try:
            yield json.loads(said)["env"]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)
