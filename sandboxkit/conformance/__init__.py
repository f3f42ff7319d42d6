"""The contract as tests, for whoever writes a provider.

Two doors: ``sandboxkit conformance PROFILE``, and ``pytest --pyargs sandboxkit.conformance.suite
-p sandboxkit.conformance.plugin --sandbox-profile PROFILE``. Both need the extra ``conformance``.
Nothing here is imported by the rest of the package.
"""

from __future__ import annotations

from .target import Target

__all__ = ["Target"]
