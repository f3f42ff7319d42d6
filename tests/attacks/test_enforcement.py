"""What doctor says of networks is true: of sandboxes as they are, and of leaky ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sandboxkit.errors import TransportError
from sandboxkit.models import SandboxInfo
from sandboxkit.provider import CreateRequest
from sandboxkit_local import enforcement
from tests.local.harness import Harness

from .arena import Arena
from .weakened import WITHOUT


def verdicts(side: Harness) -> tuple[str, str]:
    async def main() -> tuple[str, str]:
        async with enforcement._listening() as listening:
            none, _ = await enforcement._try_none(side.provider, listening)
            rules, _ = await enforcement._try_rules(side.provider, listening)
            return none, rules

    return side.do(main())


def test_as_it_is(field: Arena):
    assert verdicts(field.strong) == ("boundary", "boundary")


def test_without_a_network_of_its_own(field: Arena, monkeypatch: pytest.MonkeyPatch):
    create: Callable[[CreateRequest], Any] = field.weak.provider.create

    async def weaker(request: CreateRequest) -> SandboxInfo:
        found: SandboxInfo = await create(replace(request, env={WITHOUT: "network"}))
        return found

    monkeypatch.setattr(field.weak.provider, "create", weaker)
    assert verdicts(field.weak) == ("leaky", "leaky")
    said = [enforcement._check("x", one, "y").ok for one in ("leaky", "unconfirmed", "boundary")]
    assert said == [False, True, True]


def test_where_it_cannot_be_tried(field: Arena, monkeypatch: pytest.MonkeyPatch):
    async def failing(request: CreateRequest) -> SandboxInfo:
        raise TransportError("no")

    monkeypatch.setattr(field.strong.provider, "create", failing)
    assert verdicts(field.strong) == ("unconfirmed", "unconfirmed")
    monkeypatch.undo()

    async def dead(*_: object) -> bytes:
        return b""

    monkeypatch.setattr(enforcement, "_run", dead)
    assert verdicts(field.strong) == ("unconfirmed", "unconfirmed")
