"""Errors of an SDK's, as ours."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from ..errors import SandboxError

__all__ = ["Translated"]


class Translated:
    """A ``with`` block in which what an SDK raises becomes ours; ours and all others pass.

    Args:
        op: what is being done.
        provider: whose SDK it is.
        translate: an error as ours, ``None`` if it is not the SDK's; given where it was raised too.
    """

    def __init__(
        self,
        op: str,
        provider: str,
        translate: Callable[[BaseException, TracebackType | None], SandboxError | None],
    ) -> None:
        self._op = op
        self._provider = provider
        self._translate = translate

    def __enter__(self) -> None:
        return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, SandboxError):
            return
        made = self._translate(error, trace)
        if made is not None:
            raise made.locate(op=self._op, provider=self._provider) from error
