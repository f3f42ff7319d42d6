"""What is under test."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sandboxkit import AsyncSandbox, Sandbox
from sandboxkit.capabilities import Capabilities
from sandboxkit.plugins import distribution
from sandboxkit.resolve import target as resolved
from sandboxkit.runtime import acquire
from sandboxkit.sandbox import Creating

__all__ = ["Subject", "Target", "examine"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A provider as it is on this machine, before a test has run.

    Attributes:
        profile: by which it is reached.
        provider: its name.
        distribution: that it comes from, or ``""``.
        version: of that.
        capabilities: what it finds that it can do here, its emulations included.
        emulated: which of them the core adds.
    """

    profile: str
    provider: str
    distribution: str
    version: str
    capabilities: Capabilities
    emulated: frozenset[str]


@dataclass(frozen=True, slots=True)
class Target:
    """A provider under test.

    Attributes:
        profile: what `Sandbox.create` is given.
        capabilities: what it declares here.
        session: label of all sandboxes of this test.
    """

    profile: str
    capabilities: Capabilities
    session: str

    def create(self, **options: object) -> Sandbox:
        """A sandbox of this test, that ends by itself in ten minutes if nothing else ends it.

        Its network is cut where the provider can do that, and open where that is all there is.
        """
        return Sandbox.create(self.profile, **self._settled(options))  # type: ignore[arg-type]

    def acreate(self, **options: object) -> Creating:
        """As `create`, to be awaited or used by ``async with``."""
        return AsyncSandbox.create(self.profile, **self._settled(options))  # type: ignore[arg-type]

    @property
    def network(self) -> str:
        """The least network that its sandboxes can have."""
        return "none" if self.capabilities.network_none else "full"

    def _settled(self, options: dict[str, object]) -> dict[str, object]:
        return {
            "network": self.network,
            "session": self.session,
            "lifetime": "10m",
            **options,
        }


def examine(profile: str) -> Subject:
    """Open a profile's provider and see what it declares.

    Raises:
        SandboxError: there is no such profile, or it cannot work here; never skipped over.
    """

    async def opened() -> tuple[Capabilities, frozenset[str]]:
        async with acquire(resolved(profile)) as provider:
            return await provider.survey(), getattr(provider, "emulated", frozenset())

    name = resolved(profile).provider
    capabilities, emulated = asyncio.run(opened())
    return Subject(profile, name, *distribution(name), capabilities, emulated)
