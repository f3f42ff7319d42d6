"""URLs of ports: Blaxel's previews, each private, opened by a token."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandboxkit.errors import ProtocolError
from sandboxkit.provider import PortURL, PortURLRequest

from . import sdk
from .account import Account

__all__ = ["Previews"]

VALID = timedelta(hours=24)
"""How long a token opens a preview."""


class Previews:
    """Makes them.

    Args:
        account: whose.
    """

    def __init__(self, account: Account) -> None:
        self._account = account

    async def url(self, request: PortURLRequest) -> PortURL:
        """The URL of a port, and what opens it for a day."""
        preview = await self._preview(request.sandbox_id, request.port)
        url = preview.spec.url
        if not isinstance(url, str) or not url:
            raise ProtocolError("Blaxel's preview has no URL", provider="blaxel")
        ends = (datetime.now(UTC) + VALID).isoformat(timespec="seconds").replace("+00:00", "Z")
        making = sdk.control.create_sandbox_preview_token.asyncio(
            request.sandbox_id,
            preview.metadata.name,
            client=self._account.control,
            body=sdk.PreviewToken(
                metadata=sdk.PreviewTokenMetadata(name=""),
                spec=sdk.PreviewTokenSpec(expires_at=ends),
            ),
        )
        made = await self._account.call("url", making)
        token = None if made is None else made.spec.token
        if not isinstance(token, str):
            raise ProtocolError("Blaxel's preview has no token", provider="blaxel")
        if request.scheme == "ws":
            url = "ws" + url.removeprefix("http")
        return PortURL(url, headers={"X-Blaxel-Preview-Token": token})

    async def _preview(self, sandbox_id: str, port: int) -> sdk.Preview:
        name = f"sandboxkit-{port}"
        making = sdk.control.create_sandbox_preview.asyncio_detailed(
            sandbox_id,
            client=self._account.control,
            body=sdk.Preview(
                metadata=sdk.PreviewMetadata(name=name),
                spec=sdk.PreviewSpec(port=port, public=False),
            ),
        )
        with self._account.translated("url"):
            try:
                found = (await making).parsed
            except sdk.ConflictError:  # it was made before
                found = await sdk.control.get_sandbox_preview.asyncio(
                    sandbox_id, name, client=self._account.control
                )
        if not isinstance(found, sdk.Preview):
            raise ProtocolError("Blaxel's preview cannot be read", provider="blaxel")
        return found
