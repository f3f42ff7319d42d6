"""Collecting a command's output: a bounded tail, true totals, decoded callbacks."""

from __future__ import annotations

import codecs
import inspect
from collections import deque
from collections.abc import Awaitable, Callable

from .models import CommandOutput, OutputChunk
from .provider import StartRequest

__all__ = ["Callback", "OutputCollector", "Tail", "TextFeed"]

Callback = Callable[[str], Awaitable[None] | None]
"""Gets decoded text, serially and in order of arrival per stream; may be async."""


class Tail:
    """The last `limit` bytes of a stream, and how many there were in all."""

    __slots__ = ("_chunks", "_kept", "limit", "total")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self._chunks: deque[bytes] = deque()
        self._kept = 0

    def add(self, data: bytes) -> None:
        """Append, dropping from the front what is too much."""
        self.total += len(data)
        self._chunks.append(data)
        self._kept += len(data)
        while self._chunks and self._kept - len(self._chunks[0]) >= self.limit:
            self._kept -= len(self._chunks.popleft())

    def skip(self, count: int) -> None:
        """Count bytes that exist but were never seen."""
        self.total += count

    def bytes(self) -> bytes:
        """What is kept."""
        joined = b"".join(self._chunks)
        if len(joined) > self.limit:
            joined = joined[len(joined) - self.limit :]
        # Instead of the pieces, not beside them: it may be many MiB.
        self._chunks, self._kept = deque([joined]), len(joined)
        return joined


class TextFeed:
    """Decodes a stream piece by piece for a callback; a character may be split anywhere."""

    __slots__ = ("_callback", "_decoder")

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def send(self, data: bytes, final: bool = False) -> None:
        """Hand over the text of these bytes, and wait for an async callback."""
        text = self._decoder.decode(data, final)
        if not text:
            return
        pending = self._callback(text)
        if inspect.isawaitable(pending):
            await pending


class OutputCollector:
    """Both streams of one command."""

    __slots__ = ("_ends", "_feeds", "_tails")

    def __init__(
        self, limit: int, on_stdout: Callback | None = None, on_stderr: Callback | None = None
    ) -> None:
        self._ends: dict[str, int] = {}
        self._tails = {"stdout": Tail(limit), "stderr": Tail(limit)}
        self._feeds = {
            name: TextFeed(callback)
            for name, callback in (("stdout", on_stdout), ("stderr", on_stderr))
            if callback is not None
        }

    async def add(self, chunk: OutputChunk) -> OutputChunk | None:
        """Keep a chunk and show it to its callback; returns what of it is new, if anything.

        A transport that resumes may deliver bytes twice; their offsets tell.
        """
        end = self._ends.get(chunk.stream, chunk.offset)
        if chunk.offset < end:
            known = end - chunk.offset
            if known >= len(chunk.data):
                return None
            chunk = OutputChunk(chunk.stream, chunk.data[known:], end)
        self._ends[chunk.stream] = chunk.offset + len(chunk.data)
        self._tails[chunk.stream].add(chunk.data)
        feed = self._feeds.get(chunk.stream)
        if feed is not None:
            await feed.send(chunk.data)
        return chunk

    async def finish(self) -> None:
        """Show the callbacks what an incomplete last character stands for."""
        for feed in self._feeds.values():
            await feed.send(b"", final=True)

    def output(self, request: StartRequest, duration: float) -> CommandOutput:
        """What has been written until now."""
        out, err = self._tails["stdout"], self._tails["stderr"]
        command = request.command
        return CommandOutput(
            stdout_bytes=out.bytes(),
            stderr_bytes=err.bytes(),
            stdout_total=out.total,
            stderr_total=err.total,
            duration=duration,
            applied_timeout=request.timeout,
            command=command if isinstance(command, str) else " ".join(command),
        )
