"""Benchmarks of sandboxes that can be wrong in as few ways as we know: see METHODOLOGY.md."""

from __future__ import annotations

FORMAT = 1
"""Version of the form that results are written in."""
