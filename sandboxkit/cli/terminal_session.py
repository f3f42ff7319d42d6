"""A terminal in a sandbox, joined to the one this process runs on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from sandboxkit.errors import SandboxError
from sandboxkit.threads import in_thread

from .local_terminal import local_size, raw_mode
from .terminal_modes import LEFT, TerminalModes, without_questions

if TYPE_CHECKING:
    from sandboxkit import AsyncProcess

__all__ = ["TerminalSession"]

STDIN, STDOUT = 0, 1

CHUNK = 4096
TYPED_AHEAD = 64
"""Chunks typed and not taken, above which the terminal is not read: then it holds back."""

SHOWN_AGAIN = 16 << 10
"""Bytes of what was written before that are shown to who comes back."""

NUDGE = 0.1
"""Seconds that a program has to see that its terminal is smaller before it is large again."""

REFUSED = b"\r\n[the process takes no more input; the detach key leaves it]\r\n"


class TerminalSession:
    """One sitting at a process's terminal.

    Args:
        process: started on a terminal, or attached to with its input.
        detach_key: the byte that ends the sitting; ``None`` is none.
        written: bytes that it had written before, which are not shown as they come: if there are
            any, this is a return to a program that must be made to show itself.
    """

    def __init__(
        self, process: AsyncProcess, *, detach_key: bytes | None, written: int | None = None
    ) -> None:
        self._process = process
        self._detach_key = detach_key
        self._written = written or 0
        self._returning = written is not None
        self._modes = TerminalModes()
        self._shown = 0
        self._at_line_start = True
        self._progress = asyncio.Condition()
        self._typed: asyncio.Queue[bytes] = asyncio.Queue()
        self._resized = asyncio.Event()
        self._detached = asyncio.Event()

    async def run(self) -> int | None:
        """See it to its end; its exit code, or ``None`` if the sitting was ended by the key.

        The local terminal is left as it was, however this ends.

        Raises:
            ExecLostError: its end cannot be known.
            OSError: the local terminal cannot be written to.
        """
        code = None
        with raw_mode(STDIN):
            try:
                code = await self._joined()
            finally:
                with contextlib.suppress(OSError):
                    _write(self._parting(cut_off=code is None))
        return code

    def _parting(self, *, cut_off: bool) -> bytes:
        in_line = cut_off and not self._modes.alternate and not self._at_line_start
        return self._modes.undo() + b"\r\n" * in_line

    async def _joined(self) -> int | None:
        showing = asyncio.create_task(self._show())
        ending = asyncio.create_task(self._end())
        with self._listening(), _background(self._type(), self._follow_size()):
            leaving = asyncio.create_task(self._detached.wait())
            try:
                watched = {showing, ending, leaving}
                while not (ending.done() or leaving.done()):
                    done, watched = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
                    if showing in done and ending not in done:
                        showing.result()
                return ending.result() if ending.done() else None
            finally:
                await _ended(showing, ending, leaving)

    async def _end(self) -> int:
        """Wait for the exit, and until what was written by then is shown."""
        result = await self._process.wait()
        last = self._process.cursor.stdout
        async with self._progress:
            await self._progress.wait_for(lambda: self._shown >= last)
        return result.exit_code

    # -- output -------------------------------------------------------------------------------

    async def _show(self) -> None:
        before: list[bytes] = []
        if self._returning and not self._written:
            await self._return(b"")
        async for chunk in self._process:
            data, end = chunk.data, chunk.offset + len(chunk.data)
            self._modes.feed(data)
            self._at_line_start = data.endswith(b"\n")
            if self._returning and chunk.offset < self._written:
                before.append(data)
                if end >= self._written:
                    await self._return(b"".join(before))
                    before.clear()
            else:
                await in_thread(_write, data)  # it may be held back, with Ctrl-S or by its line
            await self._advance(end)
        await self._advance(sys.maxsize)

    async def _advance(self, end: int) -> None:
        async with self._progress:
            self._shown = max(self._shown, end)
            self._progress.notify_all()

    async def _return(self, before: bytes) -> None:
        """Show what there was, and have the program show what there is."""
        if not self._modes.alternate:
            shown = without_questions(before.rpartition(LEFT)[2])
            if len(shown) > SHOWN_AGAIN:
                shown = shown[-SHOWN_AGAIN:].partition(b"\n")[2]
            await in_thread(_write, shown)
        await in_thread(_write, self._modes.redo())
        size = local_size(STDIN)
        await self._process.resize(size.rows + 1, size.columns)
        # Programs do not say that they have seen it, and the same size again tells them nothing.
        asyncio.get_running_loop().call_later(NUDGE, self._resized.set)

    # -- input --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_reader(STDIN, self._on_key)
        loop.add_signal_handler(signal.SIGWINCH, self._resized.set)
        try:
            yield
        finally:
            loop.remove_reader(STDIN)
            loop.remove_signal_handler(signal.SIGWINCH)

    def _on_key(self) -> None:
        try:
            data = os.read(STDIN, CHUNK)
        except OSError:
            data = b""  # a terminal that was hung up
        key = self._detach_key
        typed, found, _ = data.partition(key) if key else (data, b"", b"")
        if typed:
            self._typed.put_nowait(typed)
        if found or not data:
            self._detached.set()
        if self._typed.qsize() >= TYPED_AHEAD or self._detached.is_set():
            asyncio.get_running_loop().remove_reader(STDIN)

    async def _type(self) -> None:
        try:
            while True:
                typed = await self._typed.get()
                await self._process.write(typed)
                if self._typed.qsize() == TYPED_AHEAD - 1:
                    asyncio.get_running_loop().add_reader(STDIN, self._on_key)
        except BrokenPipeError:
            await in_thread(_write, REFUSED)
        except SandboxError:
            return  # who waits for the end hears of it

    async def _follow_size(self) -> None:
        with contextlib.suppress(SandboxError):  # as above, or another client has it now
            while True:
                await self._resized.wait()
                self._resized.clear()
                await self._process.resize(*local_size(STDIN))


@contextlib.contextmanager
def _background(*work: Coroutine[Any, Any, None]) -> Iterator[None]:
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(STDOUT, view) :]
