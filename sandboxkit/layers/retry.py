"""The only retries there are: of what provably did not happen, or carries its nonce."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

from ..errors import RateLimitError, SandboxError
from ..models import SandboxInfo, SnapshotInfo
from ..provider import (
    CreateRequest,
    KillRequest,
    ProcessStream,
    SandboxRequest,
    SnapshotRequest,
    StartRequest,
)
from .base import Layer

__all__ = ["RetryLayer"]

T = TypeVar("T")

ATTEMPTS = 4
LONGEST_WAIT = 30.0
"""Seconds; a provider that asks for more gets its error passed on."""


def _may_repeat(error: BaseException) -> bool:
    return (
        isinstance(error, SandboxError)
        and error.retryable is True
        and error.outcome == "not_started"
        and (error.retry_after or 0.0) <= LONGEST_WAIT
    )


def _may_repeat_nonced(error: BaseException) -> bool:
    if isinstance(error, SandboxError) and error.outcome == "unknown" and error.retryable:
        return True  # the nonce makes a second create find the first one's sandbox
    return _may_repeat(error)


_backoff = tenacity.wait_random_exponential(multiplier=0.2, max=LONGEST_WAIT)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RateLimitError) and error.retry_after is not None:
        return error.retry_after
    return _backoff(state)


async def _repeat(
    attempt: Callable[[], Awaitable[T]], decide: Callable[[BaseException], bool] = _may_repeat
) -> T:
    try:
        return await attempt()  # nearly always enough, and then nothing is set up for more
    except SandboxError as error:
        if not decide(error):
            raise
        failures = [error]
    doubtful = failures[0].outcome == "unknown"

    async def again() -> T:
        nonlocal doubtful
        if failures:
            raise failures.pop()
        try:
            return await attempt()
        except SandboxError as error:
            doubtful = doubtful or error.outcome == "unknown"
            if doubtful:  # what an earlier attempt may have done is not undone by this one
                error.outcome = "unknown"
            raise

    async for one in tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=_wait,
        retry=tenacity.retry_if_exception(decide),
        reraise=True,
    ):
        with one:
            return await again()
    raise AssertionError("unreachable: tenacity re-raises")


class RetryLayer(Layer):
    """Tries again where that cannot do a thing twice; honours the provider's ``retry_after``."""

    async def create(self, request: CreateRequest) -> SandboxInfo:
        """Create; the nonce makes a repetition safe even when the first answer was lost."""
        return await _repeat(lambda: self.inner.create(request), _may_repeat_nonced)

    async def connect(self, request: SandboxRequest) -> SandboxInfo:
        """Connect; only reads."""
        return await _repeat(lambda: self.inner.connect(request))

    async def kill(self, request: KillRequest) -> bool:
        """Kill; idempotent."""
        return await _repeat(lambda: self.inner.kill(request), _may_repeat_nonced)

    async def start(self, request: StartRequest) -> ProcessStream:
        """Start, again only if it was never dispatched."""
        return await _repeat(lambda: self.inner.start(request))

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        """Snapshot, again only if it was never dispatched."""
        return await _repeat(lambda: self.inner.snapshot(request))
