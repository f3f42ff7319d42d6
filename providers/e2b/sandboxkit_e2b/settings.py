"""What a profile may say to the e2b provider."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field

from sandboxkit.provider import ProviderSettings

__all__ = ["DEFAULT_TEMPLATE", "E2BSettings"]

DEFAULT_TEMPLATE = "code-interpreter-v1"


def _variable(name: str) -> Callable[[], str | None]:
    return lambda: os.environ.get(name) or None


class E2BSettings(ProviderSettings):
    """Which account, where, and what its sandboxes are like. All of it reaches every call.

    Attributes:
        api_key: of the account, best as ``env:NAME`` or ``file:PATH``; else ``E2B_API_KEY``.
        domain: where E2B is; else ``E2B_DOMAIN``, else ``e2b.app``.
        api_url: of the control plane, where it is not ``https://api.DOMAIN``; else ``E2B_API_URL``.
        sandbox_url: what all sandboxes are reached by, where it is not the domain; else
            ``E2B_SANDBOX_URL``.
        headers: sent with every request to the control plane.
        proxy: the URL of a proxy for all requests.
        http_version: ``2`` or ``1.1``; ``None`` is what the SDK takes.
        request_timeout: seconds for one request.
        template: what sandboxes start from when none is named.
        guest_user: who the guest inside runs as. As ``root`` it acts as any user, and what runs
            inside cannot end it; ``None``, or nothing in quotes, is the template's user, and then
            there is no other.
        native_languages: languages whose code runs in the template's own code interpreter, with its
            kernels; the others run in the guest.
        filesystem_snapshots: whether snapshots are of the disk alone. Where E2B has not enabled
            that for the account, ``False`` takes them with memory, and what runs is in them too.
    """

    api_key: str | None = Field(default_factory=_variable("E2B_API_KEY"), repr=False)
    domain: str | None = Field(default_factory=_variable("E2B_DOMAIN"))
    api_url: str | None = Field(default_factory=_variable("E2B_API_URL"))
    sandbox_url: str | None = Field(default_factory=_variable("E2B_SANDBOX_URL"))
    headers: Mapping[str, str] = Field(default_factory=dict, repr=False)
    proxy: str | None = Field(default=None, repr=False)
    http_version: Literal["1.1", "2"] | None = None
    request_timeout: float = Field(default=60.0, gt=0)
    template: str = DEFAULT_TEMPLATE
    guest_user: str | None = "root"
    native_languages: frozenset[str] = frozenset({"javascript", "typescript", "r", "java"})
    filesystem_snapshots: bool = True

    def sdk_parameters(self) -> dict[str, Any]:
        """What every call of the SDK is given. Only the core tries again."""
        given = {
            "api_key": self.api_key,
            "domain": self.domain,
            "api_url": self.api_url,
            "sandbox_url": self.sandbox_url,
            "api_headers": dict(self.headers) or None,
            "proxy": self.proxy,
            "http_version": self.http_version,
        }
        return {
            **{name: value for name, value in given.items() if value is not None},
            "request_timeout": self.request_timeout,
            "debug": False,
            "retries": 0,
        }

    @property
    def is_elsewhere(self) -> bool:
        """Whether this is a server that is not E2B's own, of which no more is known."""
        return self.api_url is not None or self.sandbox_url is not None
