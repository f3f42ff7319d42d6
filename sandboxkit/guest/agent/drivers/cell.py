"""Compiling and running one cell of Python, as an interactive session would."""

from __future__ import annotations
import __future__

import ast
import functools
import linecache
import operator
from types import CodeType
from typing import Any, Coroutine, Dict, List, Optional, Tuple

__all__ = ["PREFIX", "CellRunner"]

PREFIX = "<cell "
"""How the file name of every cell begins."""

CO_COROUTINE = 0x80  # inspect has it too, but takes milliseconds to import

FUTURES = functools.reduce(
    operator.or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
)


class CellRunner:
    """Runs cells in one namespace. What ``from __future__ import`` switched on stays on.

    Attributes:
        namespace: the globals of every cell.
    """

    def __init__(self, namespace: Dict[str, Any]) -> None:
        self.namespace = namespace
        self._flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._awaiter = Awaiter()

    def run(self, source: str, number: int) -> Any:
        """Run a cell and return the value of its last expression, or ``None``.

        A semicolon after it silences it, as in IPython.

        Raises:
            BaseException: whatever compiling or running the cell raises.
        """
        body, tail = self._compile(source, f"{PREFIX}{number}>")
        # Else a warning seen once at line 1 would stay silent at line 1 of every later cell.
        self.namespace.pop("__warningregistry__", None)
        self._evaluate(body)
        return None if tail is None else self._evaluate(tail)

    def _compile(self, source: str, filename: str) -> Tuple[CodeType, Optional[CodeType]]:
        _remember(source, filename)
        tree: ast.Module = compile(
            source, filename, "exec", self._flags | ast.PyCF_ONLY_AST, dont_inherit=True
        )
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        body = compile(tree, filename, "exec", self._flags, dont_inherit=True)
        self._flags |= body.co_flags & FUTURES
        if not isinstance(last, ast.Expr):
            return body, None
        if _is_silenced(last, source):
            rest = ast.Module([last], [])
            return body, compile(rest, filename, "exec", self._flags, dont_inherit=True)
        expression = ast.Expression(last.value)
        return body, compile(expression, filename, "eval", self._flags, dont_inherit=True)

    def _evaluate(self, code: CodeType) -> Any:
        value = eval(code, self.namespace)
        return self._awaiter.run(value) if code.co_flags & CO_COROUTINE else value


def _is_silenced(last: ast.Expr, source: str) -> bool:
    """Whether a semicolon follows the last expression."""
    if last.end_lineno is None or last.end_col_offset is None:
        return False
    line = source.split("\n")[last.end_lineno - 1].encode("utf-8", "surrogatepass")
    return line[last.end_col_offset :].lstrip(b" \t)").startswith(b";")


def _remember(source: str, filename: str) -> None:
    lines: List[str] = source.splitlines(True)
    # Without a time of modification linecache never looks for a file of that name.
    linecache.cache[filename] = (len(source), None, lines, filename)


class Awaiter:
    """The event loop of a namespace: made when first needed, kept between cells."""

    def __init__(self) -> None:
        self._loop: Any = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run it to its end. An interrupt cancels it, so that its ``finally`` blocks run.

        Raises:
            BaseException: whatever it raises.
        """
        import asyncio

        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        task = self._loop.create_task(coroutine)
        try:
            return self._loop.run_until_complete(task)
        except BaseException:
            if not task.done():
                raise self._cancel(task) from None
            if not task.cancelled():
                task.exception()  # marks it as seen, else the loop would report it again
            raise

    def close(self) -> None:
        """Let go of the loop; the next coroutine gets another."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def _cancel(self, task: Any) -> KeyboardInterrupt:
        """The interrupt as seen from where the task was waiting."""
        import asyncio

        task.cancel()
        interrupt = KeyboardInterrupt()
        try:
            self._loop.run_until_complete(task)
        except asyncio.CancelledError as cancelled:
            return interrupt.with_traceback(cancelled.__traceback__)
        return interrupt
