"""What a profile may say to the daytona provider."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

from pydantic import Field

from sandboxkit.provider import ProviderSettings

__all__ = ["DEFAULT_URL", "DaytonaSettings"]

DEFAULT_URL = "https://app.daytona.io/api"


def _variable(name: str) -> Callable[[], str | None]:
    return lambda: os.environ.get(name) or None


class DaytonaSettings(ProviderSettings):
    """Which account, where, and what its sandboxes are like. All of it reaches every call.

    Attributes:
        api_key: of the account, best as ``env:NAME`` or ``file:PATH``; else ``DAYTONA_API_KEY``.
        jwt_token: instead of a key, with `organization_id`; else ``DAYTONA_JWT_TOKEN``.
        organization_id: whose sandboxes; else ``DAYTONA_ORGANIZATION_ID``.
        api_url: of the control plane; else ``DAYTONA_API_URL``, else Daytona's own.
        target: the region; else ``DAYTONA_TARGET``, else the organization's.
        snapshot: what sandboxes start from when nothing is named; ``None`` is Daytona's default.
        guest_user: who the guest inside runs as. As ``root`` it acts as any user, and what runs
            inside cannot end it; empty is the snapshot's own user, and then there is no other.
        sandbox_class: of the snapshots that are used: ``linux-vm`` sandboxes are paused with their
            memory, ``container`` ones are stopped instead, which keeps their files alone.
        request_timeout: seconds for one request.
    """

    api_key: str | None = Field(default_factory=_variable("DAYTONA_API_KEY"), repr=False)
    jwt_token: str | None = Field(default_factory=_variable("DAYTONA_JWT_TOKEN"), repr=False)
    organization_id: str | None = Field(default_factory=_variable("DAYTONA_ORGANIZATION_ID"))
    api_url: str = Field(default_factory=lambda: os.environ.get("DAYTONA_API_URL") or DEFAULT_URL)
    target: str | None = Field(default_factory=_variable("DAYTONA_TARGET"))
    snapshot: str | None = None
    guest_user: str = "root"
    sandbox_class: Literal["container", "linux-vm"] = "container"
    request_timeout: float = Field(default=60.0, gt=0)

    @property
    def is_elsewhere(self) -> bool:
        """Whether this is a server that is not Daytona's own, of which no more is known."""
        return not self.api_url.startswith("https://app.daytona.io/")
