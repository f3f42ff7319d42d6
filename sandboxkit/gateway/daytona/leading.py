"""What leads Daytona's SDKs here."""

from __future__ import annotations

from ..wire import Wire
from .app import Gateway

__all__ = ["WIRE"]


def variables_of(url: str, domain: str, key: str) -> dict[str, str]:
    """What to set so that Daytona's SDKs come here."""
    return {"DAYTONA_API_URL": f"{url}/api", "DAYTONA_API_KEY": key}


WIRE = Wire(
    vendor="Daytona",
    clients="Daytona's SDKs",
    key_variable="DAYTONA_API_KEY",
    variables=variables_of,
    application=Gateway,
)
