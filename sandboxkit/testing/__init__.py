"""For users' own tests: a provider that is a model."""

from __future__ import annotations

from .memory import MemoryProvider, Reply, World, world

__all__ = ["MemoryProvider", "Reply", "World", "world"]
