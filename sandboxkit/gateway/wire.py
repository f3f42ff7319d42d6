"""What serving needs to know of a wire."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.types import Receive, Scope, Send

from .settings import Settings

__all__ = ["PLACEHOLDER", "Application", "Wire", "wire_named"]

PLACEHOLDER = "your-key"
"""Stands for a key that the server does not know."""


class Application(Protocol):
    """An ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""


@dataclass(frozen=True, slots=True)
class Wire:
    """A vendor's protocol.

    Attributes:
        vendor: whose it is, for people.
        clients: for whom the variables are, for people.
        key_variable: the environment variable that the SDKs take the key from.
        variables: what to set so that the SDKs come here, from the server's URL, the domain and
            the key.
        application: what serves, from how to, and what is called when it is up.
    """

    vendor: str
    clients: str
    key_variable: str
    variables: Callable[[str, str, str], dict[str, str]]
    application: Callable[[Settings, Callable[[], None]], Application]


def wire_named(name: str) -> Wire:
    """A wire of `WIRES`."""
    found = importlib.import_module(f"{__package__}.{name}.leading").WIRE
    assert isinstance(found, Wire)
    return found
