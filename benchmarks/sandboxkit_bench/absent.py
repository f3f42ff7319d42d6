"""What this suite does not measure at all, so that nobody takes silence for a result."""

from __future__ import annotations

from importlib.util import find_spec

from .samples import Missing

__all__ = ["absent"]

PEERS = {
    "llm-sandbox": "llm_sandbox",
    "swe-rex": "swerex",
    "inspect_ai": "inspect_ai",
    "openai-agents": "agents",
}
"""Other libraries, and the modules by which they would be seen."""


def absent() -> list[Missing]:
    """The scenarios and the peers that are not there."""
    found = [
        Missing("disk-cold starts", "the page cache is not evicted"),
    ]
    for name, module in PEERS.items():
        there = "it is installed, but " if find_spec(module) else ""
        found.append(Missing(name, f"{there}no adapter is written for it"))
    return found
