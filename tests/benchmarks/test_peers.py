"""Other libraries as contenders: each in a process of its own, or named as missing.

What is missing, fails, hangs or lies is shown with adapters of these tests, as no real one does
so when asked. The real ones are tried where they are installed: name their interpreter in
``SANDBOXKIT_BENCH_PEERS``; then one that is missing is a failure.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sandboxkit_bench.closed import run_closed
from sandboxkit_bench.contenders.peers.cases import PEERS, Peer, PeerCommand, PeerStart
from sandboxkit_bench.scenario import Call, Ran
from sandboxkit_bench.settings import Settings

GIVEN = os.environ.get("SANDBOXKIT_BENCH_PEERS", "")

ADAPTER = """
import pathlib, subprocess, sys, tempfile, time
{imports}
HOME = pathlib.Path({home!r})

class Own:
    version = "1"
    def __init__(self, options):
        self.home = tempfile.mkdtemp(dir=HOME)
    async def open(self):
        print("what a library prints is no answer")
    async def run(self, command):
        with open(HOME / "runs", "a") as file:
            print(file=file)
        count = len((HOME / "runs").read_text())
        {then}
        return subprocess.run(command, cwd=self.home, capture_output=True, text=True).stdout
    async def close(self):
        with open(HOME / "closed", "a") as file:
            print(file=file)
"""


def peer(home: Path, *, imports: str = "", then: str = "", isolation: str = "none") -> Peer:
    adapter = home / "adapter.py"
    adapter.write_text(ADAPTER.format(imports=imports, home=str(home), then=then or "pass"))
    return Peer("own", adapter, "Own", "no-such-peer[extra]", isolation)


def played(case: PeerStart | PeerCommand, rounds: int = 1, *, warm_up: int = 0) -> Ran:
    call = Call(Settings(("local",)), seed=3, began=time.monotonic(), seconds=60, rounds=rounds)
    return run_closed([case], call, warm_up=warm_up)


def settings(python: str = sys.executable) -> Settings:
    return Settings(("local",), image="sandboxkit-test:base", peers=python)


def closed(home: Path) -> int:
    return len((home / "closed").read_text())


def test_one_that_is_not_installed_is_named_with_what_to_type(tmp_path: Path) -> None:
    ran = played(PeerStart(settings(), "start", peer(tmp_path, imports="import no_such_peer")))
    (missing,) = ran.missing
    assert missing.what == "start: own"
    assert "has no module no_such_peer" in missing.why
    assert f"{sys.executable} -m pip install 'no-such-peer[extra]'" in missing.why
    assert ran.samples == []


def test_an_interpreter_that_is_not_there_makes_it_missing(tmp_path: Path) -> None:
    ran = played(PeerStart(settings(str(tmp_path / "none")), "start", peer(tmp_path)))
    assert "No such file" in ran.missing[0].why


def test_a_start_is_timed_next_to_the_peer_and_ended(tmp_path: Path) -> None:
    ran = played(PeerStart(settings(), "start", peer(tmp_path)), rounds=2)
    assert [one.failure for one in ran.samples] == ["", ""]
    marks = ran.samples[0].marks
    order = ["call", "allocated", "exec_sent", "exec_started", "answered", "destroy_confirmed"]
    assert sorted(order, key=marks.__getitem__) == order
    assert closed(tmp_path) == 3, "one that does not count, and two that do"


def test_one_that_raises_has_failed_and_the_next_attempt_has_a_new_process(tmp_path: Path) -> None:
    case = PeerStart(settings(), "start", peer(tmp_path, then="assert count != 2, 'broken here'"))
    ran = played(case, rounds=2)
    assert [one.failure for one in ran.samples] == ["error", ""]
    assert "broken here" in ran.samples[0].detail
    assert closed(tmp_path) == 3, "its sandbox was ended although it raised"


def test_a_late_answer_is_not_taken_for_the_next(tmp_path: Path) -> None:
    case = PeerStart(settings(), "start", peer(tmp_path, then="time.sleep(30 * (count == 2))"))
    case.limit = 2.0
    ran = played(case, rounds=2)
    assert [one.failure for one in ran.samples] == ["timeout", ""]


def test_one_that_says_it_isolates_and_does_not_is_missing_for_that(tmp_path: Path) -> None:
    ran = played(PeerStart(settings(), "start", peer(tmp_path, isolation="container")))
    assert "container is declared" in ran.missing[0].why


def test_a_command_asks_what_is_only_in_that_sandbox(tmp_path: Path) -> None:
    assert played(PeerCommand(settings(), "command", peer(tmp_path))).samples[0].failure == ""
    moved = peer(tmp_path, then="self.home = tempfile.mkdtemp(dir=HOME)")
    ran = played(PeerCommand(settings(), "command", moved))
    assert ran.missing, "another directory, and no key in it"


@pytest.mark.parametrize("one", PEERS, ids=lambda one: one.name)
def test_each_peer_answers_or_is_named(one: Peer) -> None:
    python = GIVEN or sys.executable
    for case in (PeerStart(settings(python), "x", one), PeerCommand(settings(python), "x", one)):
        ran = played(case)
        if ran.missing and not GIVEN:
            why = ran.missing[0].why
            assert "-m pip install" in why
            return
        assert not ran.missing, ran.missing[0].why
        assert [sample.failure for sample in ran.samples] == [""], ran.samples[0].detail
        assert ran.cases[0].isolation == one.isolation


def test_no_two_peers_have_one_name() -> None:
    assert len({one.name for one in PEERS}) == len(PEERS)
    assert all(replace(one).adapter.exists() for one in PEERS)
