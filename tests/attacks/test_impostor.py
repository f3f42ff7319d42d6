"""A hostile peer in the agent's place: neither the daemon nor the client comes to harm by it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sandboxkit.errors import SandboxError
from sandboxkit.guest.agent import beneath, treeentry
from sandboxkit.guest.client import GuestClient
from sandboxkit.guest.connection import GuestConnection
from sandboxkit.guest.process import GuestProcess
from sandboxkit.transfer import TransferOptions, copying, download, sides
from sandboxkit_local.provider import LocalProvider
from tests.guest.test_client_hostile import BAD_GREETINGS, VIOLATIONS, start_request
from tests.local.harness import Harness, eventually

from .arena import Arena
from .impostor import MESSAGES, ROLE
from .weakened import WITHOUT, Module


@contextmanager
def impostor(field: Arena, play: str, *, also: str = "", **role: Any) -> Iterator[str]:
    """A sandbox with hostile code in it; without `also`, which is a defence of the daemon."""
    env = {WITHOUT: f"agent,{also}".strip(","), ROLE: json.dumps({"play": play, **role})}
    sandbox = field.weak.create(env=env).id
    try:
        yield sandbox
    finally:
        field.weak.kill(sandbox)


def descriptors(side: Harness) -> int:
    return len(os.listdir(f"/proc/{side.daemon_pid()}/fd"))


# -- against the client ---------------------------------------------------------------------------


def _names_are_believed(patch: pytest.MonkeyPatch) -> None:
    def parts_of(name: str) -> list[bytes]:
        return [part.encode() for part in os.path.split(name) if part]

    for module in (treeentry, beneath, sides):
        patch.setattr(module, "parts_of", parts_of)


def _links_are_followed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(beneath, "os", Module(os, O_NOFOLLOW=0))


def _modes_are_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(copying, "PERMISSIONS", 0o7777)


def _is_outside(directory: Path) -> bool:
    return (directory / "evil").exists()


def _sets_user(directory: Path) -> bool:
    evil = directory / "in" / "target" / "evil"
    return evil.exists() and bool(evil.stat().st_mode & stat.S_ISUID)


LISTINGS = {
    "a way up": ([["../../evil", "file", 5]], _is_outside, _names_are_believed),
    "an absolute name": ([["HERE/evil", "file", 5]], _is_outside, _names_are_believed),
    "a link": (
        [["l", "symlink", 0, 0o777, 0, "../.."], ["l/evil", "file", 5]],
        _is_outside,
        _links_are_followed,
    ),
    "a set-user-id file": ([["evil", "file", 5, 0o4755]], _sets_user, _modes_are_kept),
}
"""What the guest lists, what it wants with that, and how the host is robbed of what prevents it."""


@pytest.mark.parametrize("name", LISTINGS)
def test_a_download_writes_nothing_elsewhere_and_a_control_does(
    field: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    listing, succeeded, rob = LISTINGS[name]
    told = json.loads(json.dumps(listing).replace("HERE", str(tmp_path)))

    def fetch() -> None:
        with impostor(field, "tree", listing=told) as sandbox, suppress(OSError, SandboxError):
            field.weak.do(
                download(
                    field.weak.provider, sandbox, "/d", tmp_path / "in/target", TransferOptions()
                )
            )

    fetch()
    assert not succeeded(tmp_path)
    rob(monkeypatch)
    fetch()
    assert succeeded(tmp_path), "without what prevents it it should have succeeded"


def test_every_malformed_frame_ends_its_connection_alone(field: Arena):
    hello = b""  # a good one
    sent = [(greeting, b"") for greeting in BAD_GREETINGS.values()]
    sent += [(hello, violation) for violation in VIOLATIONS.values()]
    pairs = [[part.hex() for part in pair] for pair in sent]
    # The orders of a sandbox are bounded; some of these frames are long.
    short = [pair for pair in pairs if len(pair[0] + pair[1]) < 2000]
    assert len(short) >= len(pairs) - 6
    with impostor(field, "frames", sent=short) as sandbox:
        before = descriptors(field.weak)
        for greeting, violation in short:
            error = field.weak.do(_start(field.weak.provider, sandbox))
            assert isinstance(error, SandboxError), (greeting, violation)
        eventually(lambda: descriptors(field.weak) <= before)
        assert field.weak.sh(field.weak.made[0], "echo well") == "well\n"


async def _start(provider: LocalProvider, sandbox: str) -> object:
    async def dial(factory: Any) -> tuple[asyncio.Transport, GuestConnection]:
        return await provider.dial(sandbox, factory)

    client = GuestClient(dial)
    try:
        async with asyncio.timeout(20):
            return await GuestProcess.start(client, start_request())
    except SandboxError as error:
        return error
    finally:
        await client.aclose()


# -- against the daemon ---------------------------------------------------------------------------


def test_descriptors_that_are_handed_to_the_daemon_are_closed(field: Arena):
    before = descriptors(field.weak)
    with impostor(field, "descriptors"):
        assert descriptors(field.weak) < before + 30 * MESSAGES / 2
    with impostor(field, "descriptors", also="descriptors closed"):
        assert descriptors(field.weak) >= before + 30 * MESSAGES


def test_nobody_inside_lets_a_sandbox_live_longer(field: Arena):
    def lifetime(sandbox: str) -> float:
        (found,) = [info for info in field.weak.list() if info.id == sandbox]
        assert found.expires_at is not None
        assert found.created_at is not None
        return (found.expires_at - found.created_at).total_seconds()

    with impostor(field, "longer life") as sandbox:
        assert lifetime(sandbox) <= 301
    with impostor(field, "longer life", also="lifetime") as sandbox:
        assert lifetime(sandbox) > 80_000


@pytest.mark.parametrize(
    "play", ["lies", "bytes", "no object", "nesting", "too much", "too many descriptors", "silence"]
)
def test_what_is_no_message_harms_its_sandbox_alone(field: Arena, play: str):
    pid, before = field.weak.daemon_pid(), descriptors(field.weak)
    with suppress(SandboxError), impostor(field, play):
        pass
    assert field.weak.daemon_pid() == pid
    assert field.weak.sh(field.weak.made[0], "echo well") == "well\n"
    eventually(lambda: descriptors(field.weak) <= before)
