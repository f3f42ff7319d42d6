"""Uploads in parts, which wait here until they are complete."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.datastructures import UploadFile

from ..refusal import Refusal

__all__ = ["Upload", "Uploads", "pieces"]

MOST = 100
"""Uploads to one sandbox at once."""
MOST_PARTS = 10_000
PIECE = 256 << 10


@dataclass(slots=True)
class Upload:
    """One of them.

    Attributes:
        path: where it is to go.
        mode: permission bits of the file.
        parts: by their numbers; large ones are on disk.
    """

    path: str
    mode: int
    parts: dict[int, UploadFile] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size or 0 for part in self.parts.values())

    async def content(self, numbers: list[int]) -> AsyncIterator[bytes]:
        """These parts, one after the other."""
        for number in numbers:
            part = self.parts[number]
            await part.seek(0)
            async for piece in pieces(part):
                yield piece

    async def close(self) -> None:
        """Let go of the parts."""
        while self.parts:
            await self.parts.popitem()[1].close()


class Uploads:
    """Those to one sandbox."""

    def __init__(self) -> None:
        self._all: dict[str, Upload] = {}

    def begin(self, path: str, mode: int) -> str:
        """Begin one; returns what to name it by.

        Raises:
            Refusal: there are too many.
        """
        if len(self._all) >= MOST:
            raise Refusal(429, f"there are {MOST} uploads already")
        identifier = secrets.token_hex(16)
        self._all[identifier] = Upload(path, mode)
        return identifier

    def find(self, identifier: str) -> Upload:
        """One of them.

        Raises:
            Refusal: there is none.
        """
        if identifier not in self._all:
            raise Refusal(404, "upload not found")
        return self._all[identifier]

    async def put(self, identifier: str, number: int, part: UploadFile, limit: int) -> None:
        """Keep a part; one of the same number is replaced.

        Raises:
            Refusal: there are too many, or they are too large.
        """
        upload = self.find(identifier)
        old = upload.parts.pop(number, None)
        if old is not None:
            await old.close()
        if len(upload.parts) >= MOST_PARTS or upload.size + (part.size or 0) > limit:
            raise Refusal(413, "the upload is too large")
        upload.parts[number] = part

    async def end(self, identifier: str) -> None:
        """Forget one. Idempotent."""
        found = self._all.pop(identifier, None)
        if found is not None:
            await found.close()

    async def close(self) -> None:
        """Forget all."""
        for identifier in [*self._all]:
            await self.end(identifier)

    def items(self) -> list[tuple[str, Upload]]:
        """All of them."""
        return [*self._all.items()]


async def pieces(part: UploadFile) -> AsyncIterator[bytes]:
    """The content of a part of a form."""
    while piece := await part.read(PIECE):
        yield piece
