"""What of a message's headers is passed on (RFC 9110, 7.6.1), and what of ours is taken out."""

from __future__ import annotations

from collections.abc import Iterable

import h11

from .access import COOKIE_PREFIX, TOKEN_HEADER, RefusedError, is_ours, values

__all__ = ["for_client", "for_port", "upgrade_of"]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Whoever names these in Connection would have the next server see another message than we do.
_KEPT = frozenset({b"content-length", b"host"})

_TOKEN = TOKEN_HEADER.lower().encode()

Header = tuple[bytes, bytes]


def upgrade_of(headers: Iterable[Header]) -> bytes | None:
    """The protocol a request wants to go on in, where that is passed on."""
    found = list(headers)
    wanted = values(found, b"upgrade")
    if len(wanted) != 1 or b"upgrade" not in _listed(found):
        return None
    # HTTP/2 would carry requests that nobody here looks at.
    return None if wanted[0].strip().lower() == b"h2c" or b"," in wanted[0] else wanted[0]


def for_port(request: h11.Request) -> list[Header]:
    """A request's headers for what listens in the sandbox: none of our secrets among them.

    Raises:
        RefusedError: the request can be understood in two ways.
    """
    headers = list(request.headers.raw_items())
    chunked = bool(values(headers, b"transfer-encoding"))
    if chunked and values(headers, b"content-length"):
        raise RefusedError(400, "a request has either Content-Length or Transfer-Encoding")
    result: list[Header] = []
    for name, value in _end_to_end(headers):
        key = name.lower()
        if key == b"cookie":
            value = _foreign_cookies(value)
            if not value:
                continue
        if key == _TOKEN or (key == b"authorization" and is_ours(value)):
            continue
        result.append((name, value))
    if chunked:
        result.append((b"Transfer-Encoding", b"chunked"))
    protocol = upgrade_of(headers)
    if protocol is None:
        return [*result, (b"Connection", b"close")]
    return [*result, (b"Connection", b"Upgrade"), (b"Upgrade", protocol)]


def for_client(response: h11.Response | h11.InformationalResponse) -> list[Header]:
    """A response's headers for the client."""
    headers = list(response.headers.raw_items())
    chunked = bool(values(headers, b"transfer-encoding"))
    result = [
        (name, value)
        for name, value in _end_to_end(headers)
        if not (chunked and name.lower() == b"content-length")
        and not (name.lower() == b"set-cookie" and value.lstrip().startswith(COOKIE_PREFIX))
    ]
    if response.status_code == 101:
        upgrades = values(headers, b"upgrade")
        result += [(b"Connection", b"Upgrade"), *((b"Upgrade", value) for value in upgrades)]
    return result


def _end_to_end(headers: list[Header]) -> Iterable[Header]:
    named = _HOP_BY_HOP | (_listed(headers) - _KEPT)
    return (header for header in headers if header[0].lower() not in named)


def _listed(headers: list[Header]) -> frozenset[bytes]:
    """What Connection names."""
    return frozenset(
        word.strip().lower()
        for value in values(headers, b"connection")
        for word in value.split(b",")
    )


def _foreign_cookies(value: bytes) -> bytes:
    """A Cookie header without those of any listener of ours."""
    parts = (part.strip() for part in value.split(b";"))
    return b"; ".join(part for part in parts if part and not part.startswith(COOKIE_PREFIX))
