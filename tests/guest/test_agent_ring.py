from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxkit.guest.agent.ring import Ring


@given(
    st.lists(st.binary(max_size=40_000), max_size=12),
    st.integers(1, 50_000),
    st.integers(1, 5000),
)
def test_the_last_bytes_are_kept_at_their_offsets(
    pieces: list[bytes], capacity: int, most: int
) -> None:
    ring = Ring(capacity)
    for piece in pieces:
        ring.append(piece)
    whole = b"".join(pieces)
    assert ring.end == len(whole)
    assert ring.start <= max(0, len(whole) - capacity)
    found = b""
    while ring.start + len(found) < ring.end:
        piece = ring.piece(ring.start + len(found), most)
        assert 0 < len(piece) <= most
        found += piece
    assert found == whole[ring.start :]


def test_a_piece_never_changes() -> None:
    ring = Ring()
    ring.append(b"abc")
    ring.append(b"def")
    piece = ring.piece(0, 100)
    ring.append(b"ghi")
    assert piece == b"abcdef"


def test_what_is_gone_is_an_error() -> None:
    ring = Ring(10)
    ring.append(b"x" * 20_000)
    ring.append(b"y" * 20_000)
    assert ring.start == 20_000
    with pytest.raises(IndexError):
        ring.piece(0, 1)
    with pytest.raises(IndexError):
        ring.piece(40_000, 1)


def test_single_bytes_cost_little() -> None:
    tracemalloc.start()
    ring = Ring(100_000)
    for _ in range(200_000):
        ring.append(b"x")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ring.end - ring.start >= 100_000
    assert held < 250_000
