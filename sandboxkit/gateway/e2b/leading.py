"""What leads E2B's SDKs here."""

from __future__ import annotations

from ..wire import Wire
from .app import Gateway

__all__ = ["WIRE"]


def variables_of(url: str, domain: str, key: str) -> dict[str, str]:
    """What to set so that E2B's SDKs come here."""
    return {
        "E2B_API_URL": url,
        "E2B_SANDBOX_URL": url,
        "E2B_DOMAIN": domain,
        "E2B_API_KEY": key,
        "E2B_VOLUME_API_URL": url,
    }


WIRE = Wire(
    vendor="E2B",
    clients="the Python and the JavaScript SDK alike",
    key_variable="E2B_API_KEY",
    variables=variables_of,
    application=Gateway,
)
