"""What two interpreters make of the same cell, as far as it can be the same."""

from __future__ import annotations

import re
from typing import Any

from sandboxkit.models import Execution
from sandboxkit.results import CHART, DATA

JSON = "application/json"
Told = dict[str, Any]

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# What is different in every process, or names where a file happens to be.
_OWN = (
    (re.compile(r"0x[0-9a-f]{6,}"), "0x0"),
    (re.compile(r"\bT_[0-9a-f]{5}"), "T_0"),
    (re.compile(r"/tmp/ipykernel_\d+/\d+\.py"), "<cell>"),
    (re.compile(r"\b\d+\.py(?=, line)"), "<cell>"),
    (re.compile(r"<ipython-input-[0-9a-f-]+>"), "<cell>"),
    (re.compile(r"<cell \d+>"), "<cell>"),
    (re.compile(r"\r\n"), "\n"),
    (re.compile(r"(?<=File )(~|/root|/home/\w+)(?=/)"), "~"),
    (re.compile(r"(?<=in )(\w+\.)*(?=run_code)"), ""),
)


def ours(execution: Execution) -> Told:
    """Our execution in the words of the oracle."""
    error = execution.error
    return {
        "stdout": execution.logs.stdout,
        "stderr": execution.logs.stderr,
        "results": [[one.is_main_result, dict(one.mimebundle)] for one in execution.results],
        "error": error and [error.name, error.value, error.traceback],
    }


def normal(told: Told, *, traceback: bool) -> Told:
    """Without what may differ: addresses, names of temporary files, colours."""
    error = told["error"] and _clean(list(told["error"]))
    if error:
        error[2] = _skeleton(error[2]) if traceback else []
    return {**_clean(told), "error": error}


def _skeleton(traceback: str) -> list[str]:
    """The frames and exceptions of a traceback, repeated ones once.

    Not the source lines around them: a kernel's cells are files that do not exist, for which
    IPython chooses others, and shows the line that the frame is at now for the one that raised.
    """
    lines = [re.sub(r"(?<=, line )\d+|(?<=\.py:)\d+", "N", line) for line in traceback.split("\n")]
    kept = [
        line for line in lines if re.match(r"(Cell In\[|File |The above|During|\w*Error)", line)
    ]
    return list(dict.fromkeys(kept))


def without_additions(told: Told, model: Told) -> Told:
    """Ours without the forms that a kernel does not make: data, charts, JSON of plain values."""
    results = []
    for index, (main, bundle) in enumerate(told["results"]):
        theirs = model["results"][index][1] if index < len(model["results"]) else {}
        extra = {DATA, CHART} | ({JSON} - theirs.keys())
        results.append([main, {mime: bundle[mime] for mime in bundle if mime not in extra}])
    error = told["error"]
    if error and model["error"] and not model["error"][2]:
        error = [*error[:2], []]  # a kernel that names an error without a traceback
    return {**told, "results": results, "error": error}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        value = _COLOURS.sub("", value)
        for pattern, word in _OWN:
            value = pattern.sub(word, value)
        # Base64 may be broken into lines.
        return value.rstrip("\n") if value.startswith(("iVBOR", "/9j/")) else value
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value
