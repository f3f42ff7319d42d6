"""Heads of HTTP messages, read as strictly as one that stands between two others must."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional, Tuple

from . import addresses
from .rules import host_name

__all__ = ["Refusal", "Request", "Target", "forwarded", "request", "response"]


class Field(NamedTuple):
    """A line of a head; `key` is its name in lower case."""

    key: str
    name: str
    value: str


Fields = List[Field]

CHUNKED = -1
"""A body's length that its chunks tell."""

_REQUEST = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]+) (HTTP/1\.[01])\Z")
_STATUS = re.compile(r"HTTP/1\.[01] ([1-9][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?\Z")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*\Z")
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@/?#%\\]+))(?::([0-9]{1,5}))?\Z")
_LENGTH = re.compile(r"[0-9]{1,18}\Z")
# About one connection, or answered by us; framing is told anew.
_NOT_FORWARDED = frozenset(
    (
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
_KEPT = frozenset(("connection", "keep-alive", "proxy-connection", "upgrade"))


class Refusal(Exception):  # noqa: N818 - it is an answer
    """An answer of the proxy's own.

    Attributes:
        status: of HTTP.
        message: what the sandbox is told.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Target(NamedTuple):
    """Where a client wants to go.

    Attributes:
        host: a name in its normal form, or an address.
        port: 1 to 65,535.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Request(NamedTuple):
    """The head of a request.

    Attributes:
        method: as it was sent.
        target: where to.
        path: what to ask for there; empty for CONNECT.
        fields: the header fields.
        length: bytes of the body, or `CHUNKED`.
    """

    method: str
    target: Target
    path: str
    fields: Fields
    length: int


def request(head: bytes) -> Request:
    """Read the head of a request to a proxy.

    Args:
        head: up to the empty line, without it.

    Raises:
        Refusal: it is none that could be understood in one way only.
    """
    first, fields = _lines(head)
    found = _REQUEST.match(first)
    if found is None:
        raise Refusal(400, "the request line is malformed")
    method, asked, version = found.groups()
    if sum(field.key == "host" for field in fields) > 1:
        raise Refusal(400, "there is more than one Host")
    if method == "CONNECT":
        return Request(method, _target(asked, None), "", fields, 0)
    target, path = _absolute(asked)
    return Request(method, target, path, fields, _body_length(fields, version))


def forwarded(asked: Request) -> bytes:
    """The head to send on. Its Host is the one that was asked for and checked, whatever was sent.

    The connection carries one request only, so nothing that follows it can go to another host.
    """
    target = asked.target
    host = f"[{target.host}]" if ":" in target.host else target.host
    lines = [f"{asked.method} {asked.path} HTTP/1.1"]
    lines.append(f"Host: {host}" if target.port == 80 else f"Host: {host}:{target.port}")
    dropped = _NOT_FORWARDED | _listed(asked.fields, "connection")
    lines += [f"{field.name}: {field.value}" for field in asked.fields if field.key not in dropped]
    if asked.length == CHUNKED:
        lines.append("Transfer-Encoding: chunked")
    elif any(field.key == "content-length" for field in asked.fields):
        lines.append(f"Content-Length: {asked.length}")
    return ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode("latin-1")


def response(head: bytes) -> Tuple[bool, bytes]:
    """Read the head of a response.

    Returns:
        Whether another follows it, and the head to send on, which says that nothing else does.

    Raises:
        Refusal: it is none.
    """
    first, fields = _lines(head, 502)
    found = _STATUS.match(first)
    if found is None or found.group(1) == "101":  # nobody has asked for another protocol
        raise Refusal(502, "the answer is no HTTP")
    interim = found.group(1).startswith("1")
    dropped = _KEPT | _listed(fields, "connection") - {"content-length", "transfer-encoding"}
    lines = [first, *(f"{one.name}: {one.value}" for one in fields if one.key not in dropped)]
    if not interim:
        lines.append("Connection: close")
    return interim, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _lines(head: bytes, status: int = 400) -> Tuple[str, Fields]:
    first, *rest = head.decode("latin-1").split("\r\n")
    fields: Fields = []
    for line in rest:
        name, colon, value = line.partition(":")
        if not (colon and _NAME.match(name) and _VALUE.match(value)):
            raise Refusal(status, "a header field is malformed")
        fields.append(Field(name.lower(), name, value.strip(" \t")))
    return first, fields


def _absolute(asked: str) -> Tuple[Target, str]:
    scheme, separator, rest = asked.partition("://")
    if not separator:
        raise Refusal(400, "this is a proxy: ask it for http://HOST/PATH, or CONNECT HOST:PORT")
    if scheme.lower() != "http":
        raise Refusal(400, f"{scheme.lower()[:20]}: only http is forwarded; CONNECT for all else")
    end = next((at for at, char in enumerate(rest) if char in "/?#"), len(rest))
    authority, path = rest[:end], rest[end:].partition("#")[0]
    return _target(authority, 80), path if path.startswith("/") else "/" + path


def _target(authority: str, port: Optional[int]) -> Target:
    found = _AUTHORITY.match(authority)
    if found is None:
        raise Refusal(400, f"{authority[:100]!r} is no HOST:PORT")
    literal, name, number = found.groups()
    number = int(number) if number else port
    if number is None or not 1 <= number <= 65_535:
        raise Refusal(400, f"{authority[:100]!r} has no port from 1 to 65535")
    address = addresses.parse(literal or name)
    if address is not None:
        return Target(str(address), number)
    host = None if literal else host_name(name)
    if host is None:
        raise Refusal(400, f"{authority[:100]!r}: no name of a host, and no address")
    return Target(host, number)


def _body_length(fields: Fields, version: str) -> int:
    coding = [field.value.lower() for field in fields if field.key == "transfer-encoding"]
    lengths = {field.value for field in fields if field.key == "content-length"}
    if coding:
        if lengths or coding != ["chunked"] or version == "HTTP/1.0":
            raise Refusal(400, "where the body ends can be understood in several ways")
        return CHUNKED
    if len(lengths) > 1 or not all(_LENGTH.match(text) for text in lengths):
        raise Refusal(400, "the body's length is malformed")
    return int(lengths.pop()) if lengths else 0


def _listed(fields: Fields, wanted: str) -> "frozenset[str]":
    """The words of a field that is a list."""
    values = ",".join(field.value for field in fields if field.key == wanted)
    return frozenset(word.strip(" \t").lower() for word in values.split(","))
