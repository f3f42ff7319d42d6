"""Our own providers, held to the contract through the door that a stranger's come in by."""

from __future__ import annotations

from sandboxkit.conformance.suite import *  # noqa: F403
