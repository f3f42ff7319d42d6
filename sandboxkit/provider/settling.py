"""Waiting for a service that tells of what it does by nothing but its answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import tenacity

__all__ = ["until"]


async def until(
    is_done: Callable[[], Awaitable[bool]], *, seconds: float, first: float, rarest: float
) -> bool:
    """Ask until it is done, first at once and then ever more rarely.

    Only where there is no event that could be waited for.

    Args:
        is_done: asks; what it raises ends the waiting.
        seconds: for how long.
        first: seconds between the first two questions.
        rarest: seconds between two questions at most.

    Returns:
        Whether it was done in time.
    """
    asking = tenacity.AsyncRetrying(
        wait=tenacity.wait_exponential(multiplier=first, max=rarest),
        stop=tenacity.stop_after_delay(seconds),
        retry=tenacity.retry_if_result(lambda done: not done),
        retry_error_callback=lambda state: False,
    )
    return bool(await asking(is_done))
