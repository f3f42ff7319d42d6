"""Servers that speak a vendor's wire protocol in front of any provider."""

from __future__ import annotations

__all__ = ["WIRES"]

WIRES = ("e2b", "daytona", "blaxel")
"""The protocols that can be served, by their vendors; each is a package here.

Its module ``leading`` has what `serving` needs of it: a `wire.Wire` by the name ``WIRE``.
"""
