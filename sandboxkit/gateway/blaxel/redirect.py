"""Runs a program that uses Blaxel's SDK against another server: ``python -m ... PROGRAM.py``.

The SDK has the addresses of Blaxel's control plane written into it, and reads no variable for
another one. Its client can be led elsewhere before the program begins; the program stays as it is.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys

__all__ = ["lead"]

USAGE = (
    "usage: BL_API_URL=URL python -m sandboxkit.gateway.blaxel.redirect PROGRAM.py [ARGUMENT...]"
)


def lead(url: str) -> None:
    """Lead Blaxel's SDK in this process to another control plane, such as ``http://HOST/v0``."""
    settings = importlib.import_module("blaxel.core.common.settings").settings
    # What asks for a token by client credentials has an address of its own.
    settings.auth.base_url = url
    importlib.import_module("blaxel.core.client.client").client.with_base_url(url)


def main() -> None:
    """Run the program that the command line names."""
    url = os.environ.get("BL_API_URL")
    if not url or len(sys.argv) < 2:
        sys.exit(USAGE)
    importlib.import_module("blaxel.core")  # which leads it to Blaxel
    lead(url)
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
