"""One Python interface to computers you can throw away."""

from __future__ import annotations

__version__ = "0.1.0"
