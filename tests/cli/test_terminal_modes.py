"""Following what programs switch on in a terminal."""

from __future__ import annotations

import pytest

from sandboxkit.cli.terminal_modes import TerminalModes, without_questions


def modes(*pieces: bytes) -> TerminalModes:
    found = TerminalModes()
    for piece in pieces:
        found.feed(piece)
    return found


def test_nothing_changed_is_nothing_undone() -> None:
    assert modes(b"plain \x1b[1mbold\x1b[0m\r\n").undo() == b""
    assert modes(b"\x1b[?25l\x1b[?25h\x1b[?2004h\x1b[?2004l\x1b=\x1b>").undo() == b""


def test_what_is_on_is_undone_and_the_screen_last() -> None:
    found = modes(b"\x1b[?1049h\x1b[?1000;1006h\x1b[?25l\x1b=\x1b[>4;2m")
    assert found.alternate
    undone = b"\x1b[>4m\x1b>\x1b[0m\x1b[?1000l\x1b[?1006l\x1b[?25h\x1b[?1049l"
    assert found.undo() == undone
    assert modes(found.redo(), undone).undo() == b""
    assert modes(found.redo()).undo() == undone


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_sequences_are_cut_anywhere(size: int) -> None:
    text = b"a\x1b[?1049hb\x1b[?1000;1006hc\x1b=d\x1b[>4;1me\x1b[31m"
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert modes(*pieces).undo() == modes(text).undo() != b""


def test_a_full_reset_leaves_nothing() -> None:
    assert modes(b"\x1b[?1049h\x1b[?1000h\x1bc").undo() == b""


def test_hostile_output_costs_no_memory() -> None:
    found = modes(*[b"\x1b[?" + b"1;" * 30_000] * 20, b"\x1b[?" + b"9" * 40 + b"h")
    found.feed(b"".join(b"\x1b[?%dh" % number for number in range(100_000)))
    assert len(found.undo()) < 2_000
    assert len(found._rest) < 100


@pytest.mark.parametrize(
    "question",
    [
        b"\x1b[6n",
        b"\x1b[c",
        b"\x1b[>0c",
        b"\x1b[>q",
        b"\x1b[?2026$p",
        b"\x1b[?u",
        b"\x1b[18t",
        b"\x1b]11;?\x07",
        b"\x1b]4;1;?\x1b\\",
        b"\x1bP+q544e\x1b\\",
        b"\x05",
    ],
)
def test_questions_are_left_out(question: bytes) -> None:
    assert without_questions(b"\x1b[1ma" + question + b"b\x1b]0;title\x07") == (
        b"\x1b[1mab\x1b]0;title\x07"
    )
