"""What a profile may say to the blaxel provider."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from pydantic import Field

from sandboxkit.provider import ProviderSettings

__all__ = ["API_URL", "DEFAULT_IMAGE", "BlaxelSettings"]

API_URL = "https://api.blaxel.ai/v0"
DEFAULT_IMAGE = "blaxel/base-image:latest"


def _variable(name: str) -> Callable[[], str | None]:
    return lambda: os.environ.get(name) or None


class BlaxelSettings(ProviderSettings):
    """Which account, where, and what its sandboxes are like. All of it reaches every call.

    Attributes:
        api_key: of the account, best as ``env:NAME`` or ``file:PATH``; else ``BL_API_KEY``.
        client_credentials: instead of a key; else ``BL_CLIENT_CREDENTIALS``.
        workspace: whose sandboxes they are; else ``BL_WORKSPACE``.
        api_url: of the control plane, where it is not Blaxel's; else ``BL_API_URL``.
        region: where sandboxes are made; else ``BL_REGION``, else Blaxel picks one.
        headers: sent with every request.
        proxy: the URL of a proxy for all requests; else those that the environment names.
        request_timeout: seconds for one request to the control plane.
        image: what sandboxes start from when no template is named. It must have a Python 3.8 or
            later.
        root: whether commands of Blaxel's run as root there, as they do in Blaxel's own images.
            Then the guest acts as any user, and what runs inside cannot end it.
        port_urls: whether URLs of ports are Blaxel's previews, which all can reach who have the
            token; ``False`` opens them on this machine, through the guest.
    """

    api_key: str | None = Field(default_factory=_variable("BL_API_KEY"), repr=False)
    client_credentials: str | None = Field(
        default_factory=_variable("BL_CLIENT_CREDENTIALS"), repr=False
    )
    workspace: str | None = Field(default_factory=_variable("BL_WORKSPACE"))
    api_url: str = Field(default_factory=lambda: os.environ.get("BL_API_URL") or API_URL)
    region: str | None = Field(default_factory=_variable("BL_REGION"))
    headers: Mapping[str, str] = Field(default_factory=dict, repr=False)
    proxy: str | None = Field(default=None, repr=False)
    request_timeout: float = Field(default=60.0, gt=0)
    image: str = DEFAULT_IMAGE
    root: bool = True
    port_urls: bool = True

    @property
    def is_elsewhere(self) -> bool:
        """Whether this is a server that is not Blaxel's own, of which no more is known."""
        return self.api_url.rstrip("/") != API_URL
