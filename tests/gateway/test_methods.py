"""Every method that the official SDKs have, and what became of it here.

With SANDBOXKIT_WRITE_METHODS the tables of the documentation are written instead of compared, and
what starts from an image is shown in front of Docker, which takes its time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import nullcontext

import e2b
import e2b_code_interpreter
import pytest

from tests.gateway.conftest import Served
from tests.gateway.methods import images, surface, table
from tests.gateway.methods.proofs import prove
from tests.gateway.test_clients import CLIENTS, HERE, found

WRITING = bool(os.environ.get("SANDBOXKIT_WRITE_METHODS"))
NO_IMAGES = "501: the provider behind this gateway has no images to start from"


def compared(title: str, rows: Mapping[str, str], methods: set[str]) -> None:
    """Hold what a run has found against what an SDK has, and against the documentation."""
    assert set(rows) == methods
    if WRITING:
        table.write(title, rows)
    assert table.documented(title) == table.section_of(rows), "run `make e2b-methods`"


def with_images(rows: dict[str, str], shown: Mapping[str, str] | None) -> dict[str, str]:
    """The rows of a provider without images, with what was shown of one that has them."""
    refused = {name for name, row in rows.items() if row == NO_IMAGES}
    assert refused, "the local provider has no images"
    if shown is None:
        shown = dict.fromkeys(refused, images.WITH_DOCKER)
    assert set(shown) == refused
    return {**rows, **shown}


@pytest.fixture(scope="module")
def pictured(private_daemon: None) -> Iterator[tuple[Served, str] | None]:
    """A gateway in front of Docker and the tag of its images, where the table is written."""
    with images.pictured() if WRITING else nullcontext() as found:
        yield found


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_python(kind: str, gateway: Served, pictured: tuple[Served, str] | None) -> None:
    asynchronous = kind == "asyncio"
    prefix = "Async" if asynchronous else ""
    kinds = {"Sandbox": getattr(e2b_code_interpreter, prefix + "Sandbox")}
    kinds |= {name: getattr(e2b, prefix + name) for name in ("Template", "Volume", "Secret")}
    rows = asyncio.run(prove(gateway, kinds, asynchronous=asynchronous))
    shown = asyncio.run(images.prove_images(*pictured, kinds)) if pictured else None
    methods = surface.python(asynchronous=asynchronous)
    compared(f"Python, {kind}", with_images(rows, shown), methods)


def test_javascript(gateway: Served, pictured: tuple[Served, str] | None) -> None:
    rows = found(gateway, "node", HERE / "methods.mjs", CLIENTS / "js")
    shown = None
    if pictured:
        served, tag = pictured
        said = found(served, "node", HERE / "images.mjs", CLIENTS / "js", PICTURED_TAG=tag)
        shown = dict.fromkeys(said, images.WITH_DOCKER)
    methods = surface.javascript(CLIENTS / "js" / "node_modules")
    compared("JavaScript", with_images(rows, shown), methods)
