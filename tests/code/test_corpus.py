"""The same cells in a real ipykernel and in ours, with IPython and without: equal results."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path

import pytest

from sandboxkit import CodeTimeoutError, Sandbox
from tests.code import environments
from tests.code.compare import Told, normal, ours, without_additions
from tests.code.corpus import SESSIONS, Cell

ORACLE = Path(__file__).with_name("ipykernel_oracle.py")
CELLS = [(session, cell) for session, cells in SESSIONS.items() for cell in cells]


@cache
def oracle() -> dict[str, list[Told]]:
    """What ipykernel tells of every cell."""
    sessions = [[cell.code for cell in cells] for cells in SESSIONS.values()]
    done = subprocess.run(
        [str(environments.data() / "bin" / "python"), str(ORACLE)],
        input=json.dumps(sessions),
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(SESSIONS, json.loads(done.stdout), strict=True))


@cache
def told(mode: str, session: str) -> list[Told]:
    """What ours tells of a session's cells."""
    where = environments.plain() if mode == "plain" else environments.data()
    preload = ["IPython"] if mode == "ipython" else []
    options = environments.template(where, *preload)
    with Sandbox.create("local", provider_options=options, lifetime="10m") as sandbox:
        return [_run(sandbox, cell) for cell in SESSIONS[session]]


def _run(sandbox: Sandbox, cell: Cell) -> Told:
    try:
        return ours(sandbox.run_code(cell.code, timeout=60))
    except CodeTimeoutError as error:
        return ours(error.execution)


def test_there_are_enough() -> None:
    assert len(CELLS) >= 120
    assert all(len({cell.name for cell in cells}) == len(cells) for cells in SESSIONS.values())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["ipython", "plain"])
@pytest.mark.parametrize(("session", "cell"), CELLS, ids=[f"{s}-{c.name}" for s, c in CELLS])
def test_equal(session: str, cell: Cell, mode: str) -> None:
    index = SESSIONS[session].index(cell)
    traceback = mode == "ipython"
    theirs = normal(oracle()[session][index], traceback=traceback)
    mine = without_additions(normal(told(mode, session)[index], traceback=traceback), theirs)
    reason = getattr(cell, mode)
    if reason:
        assert mine != theirs, f"it is equal by now: {reason}"
    else:
        assert mine == theirs
