"""Describing what a cell raised, as Python prints it and without our own frames."""

from __future__ import annotations

import os
import traceback
from types import TracebackType
from typing import Any, Dict, Optional

from .cell import PREFIX

__all__ = ["TRACEBACK_LIMIT", "VALUE_LIMIT", "describe", "printable", "shorten"]

VALUE_LIMIT = 32_768
TRACEBACK_LIMIT = 49_152
"""Characters. JSON makes at most twelve bytes of one, so that both fit one event of 1 MiB."""

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep


def describe(error: BaseException) -> Dict[str, Any]:
    """The ``raised`` event for an exception. Never raises, whatever the exception does."""
    BaseException.with_traceback(error, without_our_frames(error.__traceback__))
    return {
        "event": "raised",
        "name": type(error).__name__,
        "value": shorten(printable(error), VALUE_LIMIT),
        "traceback": shorten(_traceback(error), TRACEBACK_LIMIT),
    }


def without_our_frames(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    """The part of a traceback that begins in a cell, else where our frames end, without our last.

    Those at its end are of functions that stand in for built-in ones.
    """
    first = trace
    while first is not None and not _filename(first).startswith(PREFIX):
        first = first.tb_next
    if first is None:
        first = trace
        while first is not None and _filename(first).startswith(_OURS):
            first = first.tb_next
    _cut_ours_off(first)
    return first


def _cut_ours_off(trace: Optional[TracebackType]) -> None:
    last = None
    while trace is not None:
        if not _filename(trace).startswith(_OURS):
            last = trace
        trace = trace.tb_next
    if last is not None:
        last.tb_next = None


def shorten(text: str, limit: int) -> str:
    """At most about `limit` characters of a text: its beginning and its end."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def _filename(trace: TracebackType) -> str:
    return trace.tb_frame.f_code.co_filename


def printable(error: BaseException) -> str:
    """The message of an exception, whatever its ``__str__`` does."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - it is the user's __str__ and may raise anything
        return f"<unprintable {type(error).__name__} object>"


def _traceback(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
    except BaseException:  # noqa: BLE001 - calls the user's __str__, __cause__ and __notes__
        lines = traceback.format_tb(error.__traceback__)
        lines.append(f"{type(error).__name__}: {printable(error)}\n")
    return "".join(lines)
