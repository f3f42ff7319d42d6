"""Every method that the official SDKs have, and what became of it here.

With SANDBOXKIT_WRITE_METHODS the tables of the documentation are written instead of compared.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

import e2b
import e2b_code_interpreter
import pytest

from tests.gateway.conftest import Served
from tests.gateway.methods import surface, table
from tests.gateway.methods.proofs import prove
from tests.gateway.test_clients import CLIENTS, HERE, found


def compared(title: str, rows: Mapping[str, str], methods: set[str]) -> None:
    """Hold what a run has found against what an SDK has, and against the documentation."""
    assert set(rows) == methods
    if os.environ.get("SANDBOXKIT_WRITE_METHODS"):
        table.write(title, rows)
    assert table.documented(title) == table.section_of(rows), "run `make e2b-methods`"


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_python(kind: str, gateway: Served) -> None:
    asynchronous = kind == "asyncio"
    prefix = "Async" if asynchronous else ""
    kinds = {"Sandbox": getattr(e2b_code_interpreter, prefix + "Sandbox")}
    kinds |= {name: getattr(e2b, prefix + name) for name in ("Template", "Volume", "Secret")}
    rows = asyncio.run(prove(gateway, kinds, asynchronous=asynchronous))
    compared(f"Python, {kind}", rows, surface.python(asynchronous=asynchronous))


def test_javascript(gateway: Served) -> None:
    rows = found(gateway, "node", HERE / "methods.mjs", CLIENTS / "js")
    compared("JavaScript", rows, surface.javascript(CLIENTS / "js" / "node_modules"))
