"""The last bytes of an output stream, at their offsets since it began."""

from __future__ import annotations

from collections import deque
from typing import Deque, Union

CAPACITY = 1_048_576

# Smaller pieces are gathered, else a program that writes single bytes would cost fifty times as
# much memory as it wrote.
_BLOCK = 16_384


class Ring:
    """Keeps at least the last `capacity` bytes that were appended, if there were so many.

    Attributes:
        start: offset of the first byte kept.
        end: offset after the last byte.
    """

    __slots__ = ("_blocks", "capacity", "end", "start")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.start = 0
        self.end = 0
        self._blocks: Deque[Union[bytes, bytearray]] = deque()

    def append(self, data: bytes) -> None:
        """Add at the end; what is too old goes."""
        if len(data) >= _BLOCK:
            self._blocks.append(data)
        elif self._blocks and len(self._blocks[-1]) < _BLOCK:
            last = self._blocks[-1]
            if not isinstance(last, bytearray):
                last = bytearray(last)
                self._blocks[-1] = last
            last += data
        elif data:
            # Most programs write once and little: no second copy for them.
            self._blocks.append(data)
        self.end += len(data)
        self.trim(self.capacity)

    def trim(self, keep: int) -> None:
        """Let go of whole blocks that are not among the last `keep` bytes."""
        while self._blocks and self.end - self.start - len(self._blocks[0]) >= keep:
            self.start += len(self._blocks.popleft())

    def piece(self, offset: int, most: int) -> Union[bytes, memoryview]:
        """Up to `most` bytes at `offset`, at least one; they never change afterwards.

        Raises:
            IndexError: there are none at that offset.
        """
        position = offset - self.start
        if position < 0:
            raise IndexError(offset)
        for block in self._blocks:
            if position < len(block):
                if isinstance(block, bytearray):
                    return bytes(block[position : position + most])
                if not position and len(block) <= most:
                    return block
                return memoryview(block)[position : position + most]
            position -= len(block)
        raise IndexError(offset)
