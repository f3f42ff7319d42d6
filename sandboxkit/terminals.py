"""What a terminal is asked for with: its size, and the shell where no command is given."""

from __future__ import annotations

from typing import Any

from .errors import InvalidRequestError
from .models import TerminalSize

__all__ = ["interactive_shell", "terminal_size"]

LARGEST = 32_767
"""Rows or columns; programs keep them in signed 16 bits."""


def terminal_size(size: Any, op: str) -> TerminalSize:
    """A size from what the user gave: a `TerminalSize` or ``(rows, columns)``.

    Raises:
        InvalidRequestError: it is none, or no terminal can have it.
    """
    numbers = size if isinstance(size, tuple | list) else ()
    if len(numbers) != 2 or not all(
        type(number) is int and 1 <= number <= LARGEST for number in numbers
    ):
        raise InvalidRequestError(
            f"{op}: a size is (rows, columns), each from 1 to {LARGEST}, not {size!r:.60}",
            op=op,
        )
    return TerminalSize(*numbers)


def interactive_shell(shell: str) -> tuple[str, ...]:
    """What to start for a person where ``shell`` runs the text of a command: it without ``-c``."""
    program, *options = shell.split() or ["sh"]
    kept = [option.replace("c", "") if _is_short(option) else option for option in options]
    return (program, *(option for option in kept if option != "-"))


def _is_short(option: str) -> bool:
    return option.startswith("-") and not option.startswith("--")
