"""What leads Blaxel's SDK here."""

from __future__ import annotations

from ..wire import Wire
from .app import Gateway

__all__ = ["WIRE"]


def variables_of(url: str, domain: str, key: str) -> dict[str, str]:
    """What to set for Blaxel's SDK, which has no variable of its own for where Blaxel is.

    ``BL_API_URL`` is ours: sandboxkit's plugin and `redirect` read it.
    """
    return {
        "BL_API_URL": f"{url}/v0",
        "BL_API_KEY": key,
        "BL_WORKSPACE": "main",
        "BL_REGION": "local",
    }


WIRE = Wire(
    vendor="Blaxel",
    clients="the Python SDK: python -m sandboxkit.gateway.blaxel.redirect PROGRAM.py",
    key_variable="BL_API_KEY",
    variables=variables_of,
    application=Gateway,
)
