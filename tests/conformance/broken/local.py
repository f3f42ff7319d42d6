"""Wrong with processes: made from the provider that runs them."""

from __future__ import annotations
