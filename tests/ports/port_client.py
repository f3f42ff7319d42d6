"""A client that sends what it is told, byte for byte."""

from __future__ import annotations

import base64
import http.client
import socket
from typing import NamedTuple

from sandboxkit import PortURL


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def place(url: PortURL) -> tuple[str, int]:
    host, _, port = url.bare.rpartition("//")[2].rpartition(":")
    return host, int(port)


def token(url: PortURL) -> str:
    return url.headers["X-Sandboxkit-Token"]


def basic(url: PortURL) -> str:
    return "Basic " + base64.b64encode(f"sandbox:{token(url)}".encode()).decode()


def ask(
    url: PortURL,
    path: str = "/headers",
    *,
    method: str = "GET",
    body: bytes = b"",
    **headers: str | None,
) -> Answer:
    """One request on a connection of its own; `Host` is right unless it is given."""
    given = {
        "Host": "{}:{}".format(*place(url)),
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in given.items() if value is not None]
    return raw(url, "\r\n".join([*lines, "", ""]).encode() + body, method)


def raw(url: PortURL, data: bytes, method: str = "GET") -> Answer:
    with socket.create_connection(place(url), timeout=30) as client:
        client.sendall(data)
        answer = http.client.HTTPResponse(client, method=method)
        answer.begin()
        return Answer(answer.status, answer.headers, answer.read())


def login(url: PortURL) -> str:
    """A browser's first visit; the cookie it gets."""
    answer = ask(
        url,
        "/",
        Authorization=basic(url),
        Sec_Fetch_Mode="navigate",
        Sec_Fetch_Dest="document",
        Sec_Fetch_Site="none",
    )
    assert answer.status == 303
    assert answer.headers["Location"] == url.bare + "/"
    kept, passing = answer.headers.get_all("Set-Cookie")
    assert "Max-Age" in passing
    cookie, *attributes = kept.split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} == set(attributes)
    assert token(url) not in cookie
    return cookie
