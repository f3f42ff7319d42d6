"""Habits that a reader would otherwise have to watch for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for path in [*ROOT.glob("sandboxkit/**/*.py"), *ROOT.glob("providers/*/*/**/*.py")]
    if "suite" not in path.parts  # the conformance suite: tests, which may look again and again
]


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_nothing_sleeps_or_polls() -> None:
    """The retry layer waits through its library, for as long as the provider asked."""
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in SOURCES
        for line, name in calls(ast.parse(path.read_text()))
        if name.split(".")[-1] == "sleep"
    ]
    assert found == []


def test_broad_excepts_are_where_they_may_be() -> None:
    agent = "sandboxkit/guest/agent"
    allowed = {
        "sandboxkit/plugins.py",  # a stranger's plugin may raise anything while it is imported
        f"{agent}/drivers/cell_error.py",  # these call the user's own code and methods
        f"{agent}/drivers/extras.py",
        f"{agent}/drivers/mime.py",
        f"{agent}/drivers/plain_shell.py",
        f"{agent}/drivers/python.py",
        f"{agent}/loop.py",  # PID 1: a bug in one callback must not end the sandbox (0012)
    }
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ExceptHandler):
                continue
            names = ast.unparse(node.type) if node.type else "BaseException"
            broad = names in ("Exception", "BaseException")
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            if broad and not raises:
                found.add(str(path.relative_to(ROOT)))
    assert found <= allowed, found - allowed


def test_no_status_is_invented() -> None:
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
                first = ast.unparse(node.values[0])
                if first.split(".")[-1] in ("exit_code", "returncode", "code", "status"):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}")
    assert found == []
