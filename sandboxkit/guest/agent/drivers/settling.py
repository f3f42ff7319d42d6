"""Where an interpreter runs: its variables and its directory."""

from __future__ import annotations

import os
import time
from typing import Any, Dict

__all__ = ["set_environment", "settle"]


def settle(place: Dict[str, Any]) -> None:
    """Take up a place.

    Args:
        place: ``cwd``, and ``env``, all variables, or ``None`` to leave them as they are.

    Raises:
        OSError: the directory cannot be entered.
    """
    os.chdir(_encode(place["cwd"]))
    if place["env"] is not None:
        set_environment(place["env"])


def set_environment(env: Dict[str, str]) -> None:
    """Have these variables and no others."""
    os.environb.clear()
    os.environb.update({_encode(name): _encode(value) for name, value in env.items()})
    time.tzset()


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
