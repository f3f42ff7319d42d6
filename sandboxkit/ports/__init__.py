"""Ports of a sandbox, reached through listeners of this process."""

from __future__ import annotations

from .forward import AsyncForward
from .ports import Ports

__all__ = ["AsyncForward", "Ports"]
