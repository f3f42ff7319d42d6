"""What is kept of the output of sessions is bounded, and taking it costs the same for each byte."""

from __future__ import annotations

import asyncio
import time

from sandboxkit.gateway.daytona.logs import ALL, DROPPED, LARGEST, LONGEST_LINE, Budget, Log
from sandboxkit.gateway.daytona.sessions import AHEAD, _Splitter

MIB = 1 << 20


def test_the_oldest_that_has_ended_goes_first_and_it_is_said() -> None:
    budget = Budget(4 * MIB)
    logs = [Log(by_line=False, budget=budget) for _ in range(6)]
    for number, log in enumerate(logs[1:]):
        log.add("stdout", b"%d" % number * MIB)
        if number == 0:
            logs[0].add("stdout", b"running\n")
        log.end()
    dropped = [log.text("stderr") for log in logs]
    assert dropped == ["", DROPPED.decode(), DROPPED.decode(), "", "", ""]
    assert logs[0].text("stdout") == "running\n"
    assert logs[5].text("stdout") == "4" * MIB
    assert budget.held <= 4 * MIB


def test_what_runs_is_bounded_too() -> None:
    budget = Budget()
    logs = [Log(by_line=False, budget=budget) for _ in range(40)]
    piece = bytes(MIB)
    for _ in range(4):
        for log in logs:
            log.add("stdout", piece)
    assert budget.held <= ALL
    for log in logs:
        log.release()
    assert budget.held == 0


def test_small_pieces_do_not_take_more_than_large_ones() -> None:
    log = Log(by_line=False)
    for _ in range(200_000):
        log.add("stdout", b"x")
    assert len(log.text()) < LARGEST // 32


def test_a_line_without_an_end_is_not_copied_for_each_piece() -> None:
    log = Log(by_line=True)
    piece = b"x" * 1024
    began = time.process_time()
    for _ in range(16 * 1024):
        log.add("stdout", piece)
    assert time.process_time() - began < 5
    log.add("stdout", b"last")
    assert not log.text("stdout").endswith("last")  # a short rest waits for its end
    log.end()
    assert log.text("stdout").endswith("last")


def test_a_line_comes_whole() -> None:
    log = Log(by_line=True)
    for piece in (b"on", b"e\ntw", b"o\nthr"):
        log.add("stdout", piece)
    assert log.text("stdout") == "one\ntwo\n"
    log.add("stdout", b"e" * LONGEST_LINE)
    assert log.text("stdout") == "one\ntwo\nthr" + "e" * LONGEST_LINE


def test_a_reader_of_what_is_dropped_goes_on() -> None:
    async def main() -> list[bytes]:
        budget = Budget(MIB)
        log, other = (Log(by_line=False, budget=budget) for _ in range(2))
        log.add("stdout", b"first")
        reading = log.follow()
        heard = [await anext(reading)]
        log.end()
        other.add("stdout", bytes(MIB))
        return heard + [piece async for piece in reading]

    assert asyncio.run(main()) == [b"\x01\x01\x01first", b"\x02\x02\x02" + DROPPED]


def test_what_no_command_has_written_is_bounded() -> None:
    splitter = _Splitter("stdout")
    for _ in range(10):
        splitter.add(bytes(AHEAD), [])
    assert len(splitter._rest) == AHEAD
