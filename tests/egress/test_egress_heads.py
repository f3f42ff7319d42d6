"""Heads of messages: what is read in one way only, and what is sent on."""

from __future__ import annotations

import pytest

from sandboxkit.egress import heads
from sandboxkit.egress.heads import CHUNKED, Refusal, Target

GET = b"GET http://example.org/x?y=1 HTTP/1.1"


@pytest.mark.parametrize(
    ("line", "target", "path"),
    [
        (b"GET http://example.org/x?y=1 HTTP/1.1", Target("example.org", 80), "/x?y=1"),
        (b"GET HTTP://EXAMPLE.org. HTTP/1.0", Target("example.org", 80), "/"),
        (b"GET http://example.org:8080?q HTTP/1.1", Target("example.org", 8080), "/?q"),
        (b"GET http://example.org/a#b HTTP/1.1", Target("example.org", 80), "/a"),
        (b"GET http://[2001:DB8::1]:81/ HTTP/1.1", Target("2001:db8::1", 81), "/"),
        (b"GET http://[::ffff:127.0.0.1]/ HTTP/1.1", Target("127.0.0.1", 80), "/"),
        (b"CONNECT example.org:443 HTTP/1.1", Target("example.org", 443), ""),
        (b"CONNECT [::1]:22 HTTP/1.1", Target("::1", 22), ""),
    ],
)
def test_targets(line: bytes, target: Target, path: str) -> None:
    asked = heads.request(line + b"\r\nHost: other.example")
    assert (asked.target, asked.path) == (target, path)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET",
        b"GET / HTTP/1.1\r\nHost: example.org",
        b"GET  http://example.org/ HTTP/1.1",
        b"GET http://example.org/ HTTP/1.1 ",
        b"GET http://example.org/ HTTP/2.0",
        b"GET http://example.org/\tx HTTP/1.1",
        b"GET https://example.org/ HTTP/1.1",
        b"GET ftp://example.org/ HTTP/1.1",
        b"GET http:///x HTTP/1.1",
        b"GET http://a.example@b.example/ HTTP/1.1",
        b"GET http://a.example\\@b.example/ HTTP/1.1",
        b"GET http://a.example:80:80/ HTTP/1.1",
        b"GET http://a.example:0/ HTTP/1.1",
        b"GET http://a.example:99999/ HTTP/1.1",
        b"GET http://a.example:8o/ HTTP/1.1",
        b"GET http://127.1/ HTTP/1.1",
        b"GET http://0x7f000001/ HTTP/1.1",
        b"GET http://2130706433/ HTTP/1.1",
        b"GET http://[::1%25lo]/ HTTP/1.1",
        b"GET http://[v1.x]/ HTTP/1.1",
        b"GET http://a%2eexample/ HTTP/1.1",
        b"GET http://a.example%00.b/ HTTP/1.1",
        b"CONNECT example.org HTTP/1.1",
        b"CONNECT example.org: HTTP/1.1",
        b"CONNECT example.org:0 HTTP/1.1",
        b"CONNECT example.org:65536 HTTP/1.1",
        b"CONNECT http://example.org:443 HTTP/1.1",
        b"CONNECT example.org:443/x HTTP/1.1",
        b"CONNECT a@example.org:443 HTTP/1.1",
        GET + b"\r\nHost: a\r\nHost: a",
        GET + b"\r\nHost : a",
        GET + b"\r\n Host: a",
        GET + b"\r\nX: a\r\n  folded",
        GET + b"\r\nno colon",
        GET + b"\r\n: empty",
        GET + b"\r\nX: a\nHost: b",
        GET + b"\r\nX: a\rHost: b",
        GET + b"\r\nX: a\0b",
        GET + b"\nHost: b",
        GET + b"\r\nContent-Length: 1\r\nContent-Length: 2",
        GET + b"\r\nContent-Length: +1",
        GET + b"\r\nContent-Length: 1, 1",
        GET + b"\r\nContent-Length: -1",
        GET + b"\r\nContent-Length: 0x1",
        GET + b"\r\nContent-Length: 99999999999999999999",
        GET + b"\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
        GET + b"\r\nTransfer-Encoding: gzip, chunked",
        GET + b"\r\nTransfer-Encoding: identity",
        GET + b"\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        GET + b"\r\nTransfer-Encoding: xchunked",
        GET + b"\r\nTransfer-Encoding: \x0bchunked",
        b"POST http://example.org/ HTTP/1.0\r\nTransfer-Encoding: chunked",
    ],
    ids=repr,
)
def test_what_could_be_understood_in_two_ways(head: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        heads.request(head)
    assert caught.value.status == 400


def test_what_is_sent_on() -> None:
    asked = heads.request(
        b"POST http://Example.org:8080/x HTTP/1.1\r\n"
        b"Host: internal.example\r\n"
        b"Accept: */*\r\n"
        b"Connection: Keep-Alive, X-Private, Content-Length\r\n"
        b"X-Private: 1\r\nProxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive\r\n"
        b"Upgrade: websocket\r\nTE: trailers\r\ncontent-length: 003\r\nX-B:  b  "
    )
    assert asked.length == 3
    assert heads.forwarded(asked) == (
        b"POST /x HTTP/1.1\r\nHost: example.org:8080\r\nAccept: */*\r\nX-B: b\r\n"
        b"Content-Length: 3\r\nConnection: close\r\n\r\n"
    )
    chunked = heads.request(GET + b"\r\nTransfer-Encoding: Chunked")
    assert chunked.length == CHUNKED
    assert heads.forwarded(chunked) == (
        b"GET /x?y=1 HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n"
        b"Connection: close\r\n\r\n"
    )
    six = heads.request(b"GET http://[2001:db8::1]/ HTTP/1.1")
    assert b"\r\nHost: [2001:db8::1]\r\n" in heads.forwarded(six)


def test_what_comes_back() -> None:
    interim, told = heads.response(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
        b"Keep-Alive: timeout=5\r\nSet-Cookie: a\r\nSet-Cookie: b"
    )
    assert not interim
    assert told == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert heads.response(b"HTTP/1.1 100 Continue") == (True, b"HTTP/1.1 100 Continue\r\n\r\n")
    for bad in (b"", b"SSH-2.0-x", b"HTTP/1.1 20 OK", b"HTTP/1.1 101 Switching Protocols"):
        with pytest.raises(Refusal) as caught:
            heads.response(bad)
        assert caught.value.status == 502
