"""Which sandbox and which of its ports a request is for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .refusal import Refusal

__all__ = ["Destination", "destination", "header", "port_number"]

Headers = Iterable[tuple[bytes, bytes]]

_LABEL = re.compile(r"(\d{1,5})-([a-z0-9]{1,64})(?:-[a-z0-9]+)?")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


@dataclass(frozen=True, slots=True)
class Destination:
    """A port of a sandbox.

    Attributes:
        sandbox: its id on the wire.
        port: 1 to 65,535.
    """

    sandbox: str
    port: int


def header(headers: Headers, name: bytes) -> str | None:
    """The one value of a header, or ``None``.

    Raises:
        Refusal: it stands there twice, so that two readers might see two requests.
    """
    found = [value for key, value in headers if key == name]
    if len(found) > 1:
        raise Refusal(400, f"the header {name.decode()} stands there {len(found)} times")
    return found[0].decode("latin-1").strip() if found else None


def port_number(text: str) -> int:
    """A port.

    Raises:
        Refusal: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535):
        raise Refusal(400, "Invalid sandbox port")
    return int(text)


def destination(headers: Headers, id_header: bytes, port_header: bytes) -> Destination | None:
    """The sandbox that a request names in its headers or in its host; ``None`` if in neither.

    Raises:
        Refusal: it names half of one, or two different ones.
    """
    headers = list(headers)
    by_host = _by_host(header(headers, b"host"))
    sandbox, port = header(headers, id_header), header(headers, port_header)
    if sandbox is None and port is None:
        return by_host
    if sandbox is None or port is None:
        missing = id_header if sandbox is None else port_header
        raise Refusal(400, f"missing header {missing.decode()}")
    if not _ID.fullmatch(sandbox):
        raise Refusal(400, "Invalid sandbox ID")
    # What follows a hyphen is the id of a client, of which older ones make a part of the name.
    named = Destination(sandbox.partition("-")[0], port_number(port))
    if by_host is not None and by_host != named:
        raise Refusal(400, "the host and the headers name different sandboxes")
    return named


def _by_host(host: str | None) -> Destination | None:
    if host is None:
        return None
    name = host.rpartition(":")[0] if re.search(r":\d*$", host) else host
    label, dot, rest = name.lower().partition(".")
    found = _LABEL.fullmatch(label) if dot and rest else None
    return None if found is None else Destination(found[2], port_number(found[1]))
