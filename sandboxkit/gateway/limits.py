"""What each tenant may use at once, counted."""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Iterator

from .keys import Tenant
from .refusal import Refusal

__all__ = ["Meter"]

BURST = 10.0
"""Seconds' worth of creations that a tenant may ask for at once."""


class Meter:
    """Counts what tenants use; a limit that is reached is an answer with 429 and Retry-After."""

    def __init__(self) -> None:
        self._making: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._allowance: dict[str, tuple[float, float]] = {}

    def is_full(self, tenant: Tenant, there: int, wanted: int) -> bool:
        """Whether a tenant that has `there` sandboxes may not have `wanted` more."""
        return there + self._making[tenant.name] + wanted > tenant.limits.max_sandboxes

    @contextlib.contextmanager
    def making(self, tenant: Tenant, there: int, wanted: int) -> Iterator[None]:
        """Count sandboxes that are being made.

        Raises:
            Refusal: there would be too many, or they come too fast.
        """
        if self.is_full(tenant, there, wanted):
            most = tenant.limits.max_sandboxes
            raise Refusal(
                429,
                f"you have reached the maximum number of concurrent sandboxes ({most})",
                headers={"Retry-After": "5", "Should-Retry": "false"},
            )
        self._spend(tenant, wanted)
        self._making[tenant.name] += wanted
        try:
            yield
        finally:
            self._making[tenant.name] -= wanted

    @contextlib.contextmanager
    def stream(self, tenant: Tenant) -> Iterator[None]:
        """Count a request while it is being answered.

        Raises:
            Refusal: there are too many.
        """
        if self._streams[tenant.name] >= tenant.limits.max_streams:
            raise Refusal(
                429,
                f"more than {tenant.limits.max_streams} requests are being answered",
                headers={"Retry-After": "1", "Should-Retry": "true"},
            )
        self._streams[tenant.name] += 1
        try:
            yield
        finally:
            self._streams[tenant.name] -= 1

    def _spend(self, tenant: Tenant, count: int) -> None:
        rate = tenant.limits.creations_per_second
        now = time.monotonic()
        left, since = self._allowance.get(tenant.name, (max(1.0, rate * BURST), now))
        left = min(max(1.0, rate * BURST), left + (now - since) * rate)
        if left < min(count, 1):
            raise Refusal(
                429,
                f"more than {rate:g} sandboxes a second were asked for",
                headers={
                    "Retry-After": str(math.ceil((1 - left) / rate)),
                    "Should-Retry": "true",
                },
            )
        self._allowance[tenant.name] = (left - count, now)
