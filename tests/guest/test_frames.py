from __future__ import annotations

import json
import struct
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxkit.guest.agent import frames
from sandboxkit.guest.agent.frames import Decoder, Frame, FrameError

JSON_TYPES = [
    frames.OPEN,
    frames.EVENT,
    frames.RESULT,
    frames.ERROR,
    frames.CONTROL,
]
streams = st.integers(1, 2**32 - 1)
objects = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text())


def encoded(frame: Frame) -> bytes:
    return frames.encode(frame.type, frame.stream, frame.payload, frame.channel, frame.fin)


good_frames = st.one_of(
    st.builds(
        lambda stream, payload, channel, fin: Frame(frames.DATA, stream, payload, channel, fin),
        streams,
        st.binary(max_size=300),
        st.integers(0, 2),
        st.booleans(),
    ),
    st.builds(
        lambda stream, count, channel: Frame(
            frames.CREDIT, stream, struct.pack(">I", count), channel
        ),
        streams,
        st.integers(0, 2**32 - 1),
        st.integers(0, 2),
    ),
    st.builds(
        lambda kind, stream, value: Frame(kind, stream, json.dumps(value).encode()),
        st.sampled_from(JSON_TYPES),
        streams,
        objects,
    ),
    st.builds(lambda stream: Frame(frames.RESET, stream), streams),
    st.just(Frame(frames.BYE, 0)),
    st.just(Frame(frames.HELLO, 0, b"{}")),
)


def decode_cut(data: bytes, cuts: list[int]) -> tuple[list[Frame], bool, int]:
    """Feed `data` in pieces; what came out, whether it was refused, and the most it held."""
    decoder, found, most = Decoder(), [], 0
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    try:
        for start, end in pairwise(edges):
            found.extend(decoder.feed(data[start:end]))
            most = max(most, decoder.pending)
    except FrameError:
        return found, True, most
    return found, False, most


@given(st.lists(good_frames, max_size=8), st.lists(st.integers(0, 4000), max_size=20))
def test_frames_survive_any_cut(sent: list[Frame], cuts: list[int]) -> None:
    found, refused, _ = decode_cut(b"".join(map(encoded, sent)), cuts)
    assert found == sent
    assert not refused


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=20))
def test_garbage_means_the_same_however_cut(data: bytes, cuts: list[int]) -> None:
    whole = decode_cut(data, [])
    assert decode_cut(data, cuts)[:2] == whole[:2]


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**16 - 1), streams, st.integers(0))
def test_a_header_is_judged_before_its_payload(
    kind: int, channel: int, flags: int, stream: int, length: int
) -> None:
    length %= 2**32
    header = struct.pack(">BBHII", kind, channel, flags, stream, length)
    known = kind in range(2, 10)
    limit = {frames.DATA: 65_536, frames.CREDIT: 4, frames.RESET: 0}.get(kind, 1_048_576)
    good = (
        known
        and length <= limit
        and (kind != frames.CREDIT or length == 4)
        and flags in ((0, 1) if kind == frames.DATA else (0,))
        and channel <= (2 if kind in (frames.DATA, frames.CREDIT) else 0)
    )
    decoder = Decoder()
    if good:
        list(decoder.feed(header))
    else:
        with pytest.raises(FrameError):
            list(decoder.feed(header))


@pytest.mark.parametrize(
    "header",
    [
        struct.pack(">BBHII", 4, 0, 0, 1, 2**31),
        struct.pack(">BBHII", 2, 0, 0, 1, 1_048_577),
        struct.pack(">BBHII", 4, 1, 0, 1, 65_537),
        struct.pack(">BBHII", 5, 1, 0, 1, 5),
        struct.pack(">BBHII", 4, 3, 0, 1, 1),
        struct.pack(">BBHII", 4, 1, 2, 1, 1),
        struct.pack(">BBHII", 2, 0, 1, 1, 1),
        struct.pack(">BBHII", 2, 1, 0, 1, 1),
        struct.pack(">BBHII", 1, 0, 0, 1, 2),
        struct.pack(">BBHII", 10, 0, 0, 1, 0),
        struct.pack(">BBHII", 4, 0, 0, 0, 1),
        struct.pack(">BBHII", 0, 0, 0, 1, 0),
        struct.pack(">BBHII", 11, 0, 0, 1, 0),
    ],
)
def test_bad_headers_are_refused(header: bytes) -> None:
    with pytest.raises(FrameError):
        list(Decoder().feed(header))


def test_good_frames_before_a_bad_one_are_given() -> None:
    good = frames.encode(frames.DATA, 7, b"abc", frames.STDOUT)
    found, refused, _ = decode_cut(good + b"\xff" * 12, [])
    assert found == [Frame(frames.DATA, 7, b"abc", frames.STDOUT)]
    assert refused


def test_frames_not_taken_are_given_later() -> None:
    decoder = Decoder()
    three = b"".join(frames.encode(frames.DATA, n, b"x") for n in (1, 2, 3))
    assert next(decoder.feed(three)).stream == 1
    assert [frame.stream for frame in decoder.feed(b"")] == [2, 3]


@given(objects)
def test_json_comes_back(value: dict[str, object]) -> None:
    (frame,) = Decoder().feed(frames.encode_json(frames.OPEN, 1, value))
    assert frame.json() == value


def test_lone_surrogates_come_back() -> None:
    name = b"/tmp/\xff\xfe".decode("utf-8", "surrogateescape")
    (frame,) = Decoder().feed(frames.encode_json(frames.OPEN, 1, {"path": name}))
    assert frame.json()["path"] == name


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"1",
        b"null",
        b"{",
        b"\xff\xfe",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":' + b"[" * 200_000,
        b'{"a":' + b'{"a":' * 200_000,
    ],
)
def test_what_is_not_an_object_is_refused(payload: bytes) -> None:
    with pytest.raises(FrameError):
        frames.decode_json(payload)


def test_a_long_number_is_refused_quickly() -> None:
    began = time.monotonic()
    with pytest.raises(FrameError):
        frames.decode_json(b'{"a":' + b"9" * 1_000_000 + b"}")
    assert time.monotonic() - began < 2


def test_encoding_what_the_other_side_would_refuse_fails() -> None:
    with pytest.raises(FrameError):
        frames.encode(frames.DATA, 1, b"x" * 65_537)
    with pytest.raises(FrameError):
        frames.encode_json(frames.EVENT, 1, {"a": "x" * frames.MAX_JSON})
    with pytest.raises(FrameError):
        frames.encode(frames.DATA, 1, b"x", channel=3)
    with pytest.raises(ValueError):
        frames.encode_json(frames.EVENT, 1, {"a": float("nan")})
