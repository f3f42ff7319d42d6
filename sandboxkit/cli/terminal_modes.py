"""What programs have switched on in the terminal they write to, and how to undo it.

A program that is cut off in its midst leaves the terminal on its alternate screen, reporting the
mouse, without a cursor. Who comes back to one that runs needs the same modes switched on again.
The sequences are those of xterm, "XTerm Control Sequences", DECSET and DECRST among them.
"""

from __future__ import annotations

import re

__all__ = ["LEFT", "TerminalModes", "without_questions"]

LEFT = b"\x1b[?1049l"
"""What goes back from the alternate screen."""

_SEQUENCE = re.compile(rb"\x1b\[\?([\d;]{1,60})([hl])|\x1b([=>])|\x1b\[>4(?:;(\d))?m|\x1b(c)")
# The beginning of one of these at the end of a piece; the longest is as long as the bound allows.
_BEGINNING = re.compile(rb"\x1b(?:\[(?:\?[\d;]{0,60}|>4?;?\d?)?)?\Z")

_NORMALLY_ON = {7, 8, 25}
"""Wrapping lines, repeating keys, showing the cursor."""

# No terminal has modes of more digits, and no program switches on so many.
_LONGEST, _MOST = 4, 100

_ALTERNATE = {47, 1047, 1049}

# What makes a terminal answer: who it is, where the cursor is, which colours, and so on.
_QUESTION = re.compile(
    rb"\x1b\[[?>=]?[\d;]*[cnt]|\x1b\[>[\d;]*q|\x1b\[\??[\d;]*\$p|\x1b\[\?u"
    rb"|\x1b\][^\x07\x1b]*\?(?:\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\|\x05"
)


class TerminalModes:
    """Follows the output of a terminal's programs."""

    def __init__(self) -> None:
        self._changed: dict[int, bool] = {}
        self._keypad = False
        self._keys = b""
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take note of the next piece of output."""
        data = self._rest + data
        for found in _SEQUENCE.finditer(data):
            modes, on, keypad, keys, reset = found.groups()
            if modes:
                self._switch(modes, on == b"h")
            elif keypad:
                self._keypad = keypad == b"="
            elif reset:
                self._changed, self._keypad, self._keys = {}, False, b""
            else:
                self._keys = keys or b""
        beginning = _BEGINNING.search(data)
        self._rest = beginning[0] if beginning else b""

    def _switch(self, modes: bytes, on: bool) -> None:
        for mode in (int(text) for text in modes.split(b";") if 0 < len(text) <= _LONGEST):
            if on == (mode in _NORMALLY_ON):
                self._changed.pop(mode, None)
            elif mode in self._changed or len(self._changed) < _MOST:
                self._changed[mode] = on

    @property
    def alternate(self) -> bool:
        """Whether the alternate screen is shown."""
        return any(self._changed.get(mode) for mode in _ALTERNATE)

    def undo(self) -> bytes:
        """What brings the terminal back to how it was; nothing if nothing was changed."""
        undone = b"\x1b[>4m" * (self._keys not in (b"", b"0")) + b"\x1b>" * self._keypad
        if self.alternate:
            undone += b"\x1b[0m"
        # The alternate screen last: its programs' other modes belong to it.
        for mode in sorted(self._changed, key=lambda mode: mode in _ALTERNATE):
            undone += _private(mode, not self._changed[mode])
        return undone

    def redo(self) -> bytes:
        """What switches on in another terminal what is on in this one."""
        redone = b"".join(
            _private(mode, on)
            for mode, on in sorted(self._changed.items(), key=lambda one: one[0] not in _ALTERNATE)
        )
        redone += b"\x1b=" * self._keypad
        return redone + (b"\x1b[>4;" + self._keys + b"m" if self._keys else b"")


def _private(mode: int, on: bool) -> bytes:
    return b"\x1b[?%d%c" % (mode, b"h" if on else b"l")


def without_questions(output: bytes) -> bytes:
    """Output to be shown once more, without what the terminal would answer once more."""
    return _QUESTION.sub(b"", output)
