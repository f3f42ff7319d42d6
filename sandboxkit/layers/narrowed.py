"""A provider whose profile says that it cannot do everything here."""

from __future__ import annotations

from collections.abc import Collection

from ..capabilities import Capabilities
from ..provider import Provider
from .base import Layer

__all__ = ["Narrowed"]


class Narrowed(Layer):
    """Declares less than the provider does; what wants the rest is refused by the core.

    Args:
        inner: the provider.
        without: what is not declared.

    Raises:
        ConfigError: one of them is no capability.
    """

    def __init__(self, inner: Provider, without: Collection[str]) -> None:
        super().__init__(inner)
        self._without = without
        self.capabilities = inner.capabilities.less(without)

    async def survey(self) -> Capabilities:
        """What the provider finds, less what it must not do here."""
        return (await self.inner.survey()).less(self._without)
