"""Who asks the control plane, and in whose name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from starlette.requests import Request

from ..keys import Tenant
from ..refusal import Refusal

__all__ = ["Asking", "origin_of"]

_WORKSPACE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def origin_of(request: Request) -> str:
    """Where this client reaches the gateway."""
    return f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"


@dataclass(frozen=True, slots=True)
class Asking:
    """One request to the control plane.

    Attributes:
        request: it.
        tenant: whose.
        workspace: the one it names; a part of URLs, and no more than that here.
        origin: where the client reaches the gateway.
    """

    request: Request
    tenant: Tenant
    workspace: str
    origin: str

    @classmethod
    def of(cls, request: Request, tenant: Tenant) -> Self:
        """Read a request's headers.

        Raises:
            Refusal: they name no workspace that there could be.
        """
        workspace = request.headers.get("x-blaxel-workspace", "main")
        if not _WORKSPACE.fullmatch(workspace):
            raise Refusal(403, "there is no such workspace", name="UNAUTHORIZED_WORKSPACE")
        return cls(request, tenant, workspace, origin_of(request))

    def id_of(self, name: str) -> str:
        """What the gateway keeps a sandbox or snapshot by: names are the tenant's own."""
        return f"{self.tenant.name}/{name}"
