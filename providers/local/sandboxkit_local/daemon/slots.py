"""Giving each sandbox a range of ids that no other has."""

from __future__ import annotations

import heapq

from sandboxkit.errors import RateLimitError

__all__ = ["Slots"]


class Slots:
    """Numbers from 1 up; the lowest free one first, so that what was made for it is used again.

    Args:
        count: how many there are; 0 if sandboxes share their range, and all get 0.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._returned: list[int] = []
        self._next = 1

    def take(self) -> int:
        """A number that nobody has.

        Raises:
            RateLimitError: all are taken.
        """
        if not self._count:
            return 0
        if self._returned:
            return heapq.heappop(self._returned)
        if self._next > self._count:
            raise RateLimitError(f"there are {self._count} sandboxes already", retryable=True)
        self._next += 1
        return self._next - 1

    def check(self, count: int) -> None:
        """See whether so many are free.

        Raises:
            RateLimitError: they are not.
        """
        free = len(self._returned) + self._count - self._next + 1
        if self._count and count > free:
            raise RateLimitError(
                f"there is room for {free} more sandboxes, and {count} are asked for",
                hint="sandboxkit ps",
            )

    def give_back(self, slot: int) -> None:
        """Its sandbox is gone, verified."""
        if slot:
            heapq.heappush(self._returned, slot)
