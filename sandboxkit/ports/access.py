"""Who may use a listener: those who have its token, and nobody through somebody else's browser.

Any program and any web page of this machine can send requests to a loopback port. So a request
must carry the token; and where a browser added it by itself, as it does with cookies and with
passwords it remembers, the request must also come from a page of this very listener.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator
from typing import Literal

import h11

from ..provider import PortURL

__all__ = ["COOKIE_PREFIX", "TOKEN_HEADER", "Access", "RefusedError", "Way", "is_ours", "values"]

USER = "sandbox"
TOKEN_PREFIX = "sbx_"
"""What all our tokens begin with, so that they are recognised wherever they turn up."""
TOKEN_HEADER = "X-Sandboxkit-Token"
COOKIE_PREFIX = b"sandboxkit-"

Way = Literal["token", "cookie", "basic"]
Headers = Iterable[tuple[bytes, bytes]]


class RefusedError(Exception):
    """A request that is answered here instead of in the sandbox.

    Attributes:
        status: of the answer.
        text: for people.
        headers: of the answer, besides the usual ones.
    """

    def __init__(self, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


def values(headers: Headers, name: bytes) -> list[bytes]:
    """All values of a header, by its name in lower case."""
    return [value for key, value in headers if key.lower() == name]


class Access:
    """The secrets of one listener.

    Args:
        port: of this machine, at which it listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        # Not the token: browsers send cookies to every port of a host.
        self._cookie = secrets.token_urlsafe(32)
        self._name = COOKIE_PREFIX + str(port).encode()
        self._mark = self._name + b"-entered"
        self._hosts = {f"{host}:{port}".encode() for host in ("127.0.0.1", "localhost")}

    def url(self, scheme: str) -> PortURL:
        """Where the listener is, with the token in it."""
        place = f"127.0.0.1:{self._port}"
        return PortURL(
            f"{scheme}://{USER}:{self._token}@{place}",
            bare=f"{scheme}://{place}",
            headers={TOKEN_HEADER: self._token},
        )

    def check(self, request: h11.Request) -> Way:
        """By what the request may pass.

        Raises:
            RefusedError: it may not.
        """
        headers = request.headers
        hosts = values(headers, b"host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            # Else a name that an attacker lets point here would make our answers the attacker's.
            raise RefusedError(421, "this listener answers to 127.0.0.1 and localhost only")
        way = self._way(headers)
        if way is None:
            challenge = (b"WWW-Authenticate", b'Basic realm="sandboxkit", charset="UTF-8"')
            raise RefusedError(401, "this address needs its token", challenge)
        if way != "token":
            _check_origin(request, hosts[0].lower(), certain=way == "cookie")
        return way

    def is_entering(self, request: h11.Request, way: Way) -> bool:
        """Whether a browser may be about to show a page under an address with the token in it.

        Such a page may not fetch from its own server, and no header tells whether it is one. So
        each visit is redirected to the address without the token, and a mark tells which one is
        the redirect's.
        """
        return (
            way != "token"
            and request.method == b"GET"
            and is_navigation(request)
            and not self.is_marked(request)
        )

    def is_marked(self, request: h11.Request) -> bool:
        """Whether the browser has just been redirected to this very target."""
        mark = (self._mark, _digest(request.target))
        return mark in _cookies(request.headers)

    def entry(self, request: h11.Request) -> list[tuple[bytes, bytes]]:
        """The headers that let a browser come back without the token, and mark it."""
        return [
            _set_cookie(self._name, self._cookie.encode()),
            _set_cookie(self._mark, _digest(request.target), b"; Max-Age=10"),
        ]

    def unmark(self) -> tuple[bytes, bytes]:
        """The header that takes the mark away."""
        return _set_cookie(self._mark, b"", b"; Max-Age=0")

    def _way(self, headers: Headers) -> Way | None:
        found = list(headers)
        tokens = values(found, TOKEN_HEADER.lower().encode())
        if any(_equal(token, self._token) for token in tokens):
            return "token"
        for name, value in _cookies(found):
            if name == self._name and _equal(value, self._cookie):
                return "cookie"
        for header in values(found, b"authorization"):
            if _equal(_password(header)[1], self._token):
                return "basic"
        return None


def is_ours(authorization: bytes) -> bool:
    """Whether this is the password of a listener of ours, whichever it be."""
    user, password = _password(authorization)
    return user == USER.encode() and password.startswith(TOKEN_PREFIX.encode())


def is_navigation(request: h11.Request) -> bool:
    """Whether a browser is about to show the answer as a page of its own."""
    headers = request.headers
    return (
        request.method in (b"GET", b"HEAD")
        and values(headers, b"sec-fetch-mode") == [b"navigate"]
        and values(headers, b"sec-fetch-dest") == [b"document"]
        and not values(headers, b"upgrade")
    )


def _check_origin(request: h11.Request, host: bytes, *, certain: bool) -> None:
    """Refuse what another page makes a browser send; with `certain` also what may be such."""
    origins = values(request.headers, b"origin")
    sites = values(request.headers, b"sec-fetch-site")
    if any(origin != b"http://" + host for origin in origins):
        raise RefusedError(403, "the request comes from a page of another origin")
    if any(site not in (b"same-origin", b"none") for site in sites):
        if not is_navigation(request):
            raise RefusedError(403, "the request comes from a page of another origin")
    elif certain and not origins and not sites:
        raise RefusedError(403, "a cookie counts only where the browser says who is asking")


def _password(authorization: bytes) -> tuple[bytes, bytes]:
    """User and password of a Basic header; empty if it is none."""
    kind, _, encoded = authorization.strip().partition(b" ")
    if kind.lower() != b"basic":
        return b"", b""
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except binascii.Error:
        return b"", b""
    return user, password


def _cookies(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    for header in values(headers, b"cookie"):
        for part in header.split(b";"):
            name, _, value = part.strip().partition(b"=")
            yield name, value


def _digest(target: bytes) -> bytes:
    return hashlib.sha256(target).hexdigest()[:16].encode()


def _set_cookie(name: bytes, value: bytes, more: bytes = b"") -> tuple[bytes, bytes]:
    return b"Set-Cookie", b"%s=%s; HttpOnly; SameSite=Lax; Path=/%s" % (name, value, more)


def _equal(given: bytes, secret: str) -> bool:
    return hmac.compare_digest(given, secret.encode())
