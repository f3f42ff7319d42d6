"""The connection to one sandbox: made when first needed, and again after it broke."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import Any

from ..errors import (
    Cause,
    SandboxError,
    SandboxNotFoundError,
    SandboxPausedError,
    TransportError,
)
from ..models import SandboxInfo
from .connection import GuestConnection
from .fields import Fields
from .stream import GuestStream

__all__ = ["Call", "Dial", "GuestClient"]

Dial = Callable[
    [Callable[[], GuestConnection]], Awaitable[tuple[asyncio.Transport, GuestConnection]]
]
"""Connects to the guest: takes a protocol factory, gives what `loop.create_connection` gives.

Raises `SandboxNotFoundError` when the sandbox has ended, `TransportError` when it cannot tell.
"""

Find = Callable[[], Awaitable[SandboxInfo]]

WHILE_PAUSED = frozenset({"kill_tree"})
"""Operations that are sent to a paused sandbox too, to be done as soon as it goes on; nobody waits
for that."""

HANDSHAKE_TIMEOUT = 10.0
"""Seconds within which a guest that took the connection must have greeted."""


class GuestClient:
    """Every operation on one sandbox goes through here, over one connection at a time.

    Nothing is ever sent twice. A forked child makes a connection of its own.

    Args:
        dial: connects to the guest.
        token: proves to the guest who we are, where the transport does not.
        find: asks the provider for the sandbox; raises `SandboxNotFoundError` if it has ended.
        provider: its name, for errors.
        sandbox_id: for errors.
        ran_out: asks whoever can know whether something was killed for want of memory just now.
    """

    def __init__(
        self,
        dial: Dial,
        token: str = "",
        *,
        find: Find | None = None,
        provider: str | None = None,
        sandbox_id: str | None = None,
        ran_out: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self.ran_out = ran_out
        self.provider = provider
        self.sandbox_id = sandbox_id
        self._dial = dial
        self._token = token
        self._find = find
        self._pid = os.getpid()
        self._connection: GuestConnection | None = None
        self._dialling: asyncio.Task[GuestConnection] | None = None
        self._confirming: set[asyncio.Task[None]] = set()
        self._ended: Cause | None = None
        self._closed = False

    @property
    def forked(self) -> bool:
        """Whether the process that made this client is a parent of this one."""
        return self._pid != os.getpid()

    async def connection(self) -> GuestConnection:
        """A connection that works, as far as is known; concurrent callers share one attempt.

        Raises:
            SandboxNotFoundError: the sandbox has ended.
            TransportError: it cannot be reached. Nothing was sent.
        """
        connection = self._connection
        if connection is not None and connection.usable:
            return connection
        if self._ended is not None:
            raise self._gone(self._ended)
        if self._closed:
            raise TransportError("this client was closed", outcome="not_started")
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._dialling = None
        if self._dialling is None:
            self._dialling = asyncio.get_running_loop().create_task(self._connect())
            self._dialling.add_done_callback(self._dialled)
        dialling = self._dialling
        try:
            return await asyncio.shield(dialling)
        except asyncio.CancelledError:
            if dialling.cancelled() and not _cancelling():
                raise TransportError(
                    "this client was closed while it connected", outcome="not_started"
                ) from None
            raise

    async def hello(self) -> Fields:
        """What the guest says of its sandbox: shell, workdir, user, home, python.

        Raises:
            SandboxNotFoundError: the sandbox has ended.
            TransportError: it cannot be reached.
        """
        connection = await self.connection()
        return await connection.ready()

    async def open(self, stream: GuestStream, op: str, arguments: Fields) -> None:
        """Begin an operation whose answers `stream` takes.

        Raises:
            InvalidRequestError: the arguments are too large.
            SandboxNotFoundError: the sandbox has ended.
            SandboxPausedError: it is paused. Nothing was sent.
            TransportError: it cannot be reached. Nothing was sent.
        """
        connection = await self.connection()
        if connection.paused and op not in WHILE_PAUSED:
            await self._confirm_paused(connection)
        if connection.congested:
            await connection.drained()
        connection.open(stream, op, arguments)

    async def call(self, op: str, **arguments: Any) -> Fields:
        """Do an operation and return the guest's RESULT. Cancelling it lets go of the answer.

        Raises:
            SandboxError: what the guest answered, or why it did not. Of a paused sandbox, an
                operation of `WHILE_PAUSED` was sent all the same.
        """
        call = Call()
        await self.open(call, op, arguments)
        try:
            if op in WHILE_PAUSED:
                await self._refuse_to_wait()
            return await call.answer
        finally:
            call.reset()

    def stand_still(self) -> None:
        """The sandbox was paused: let what is going on know of it."""
        if self._connection is not None and not self.forked:
            self._connection.stand_still()

    def go_on(self) -> None:
        """The sandbox is not paused any more."""
        if self._connection is not None and not self.forked:
            self._connection.go_on()

    async def explain(self, error: TransportError) -> SandboxError:
        """What is behind a broken connection: that the sandbox has ended, else `error` itself."""
        if self._ended is not None:
            return self._gone(self._ended, error)
        if self._find is not None:
            try:
                await self._find()
            except SandboxNotFoundError as gone:
                gone.outcome = error.outcome
                return gone
            except SandboxError:
                return error  # nobody can tell
        return error

    async def aclose(self, ended: Cause | None = None) -> None:
        """Close the connection on purpose. Idempotent.

        Args:
            ended: why no later call will find the sandbox, where that is known.
        """
        self._ended = ended or self._ended
        if self.forked:
            return
        self._closed = True  # else a process would mend its link with a connection nobody closes
        dialling, self._dialling = self._dialling, None
        if dialling is not None and not dialling.done():
            dialling.cancel()
            await asyncio.wait([dialling])
        for task in list(self._confirming):
            task.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _gone(self, cause: Cause, error: TransportError | None = None) -> SandboxNotFoundError:
        return SandboxNotFoundError(
            f"the sandbox has ended: {cause}",
            cause=cause,
            provider=self.provider,
            sandbox_id=self.sandbox_id,
            outcome=error.outcome if error else None,
        )

    async def _connect(self) -> GuestConnection:
        transport, connection = await self._dial(
            lambda: GuestConnection(self._token, self._told_of_pause)
        )
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                await connection.ready()
        except TimeoutError:
            await self._refuse_if_paused()
            raise TransportError(
                f"the guest did not greet within {HANDSHAKE_TIMEOUT:g} s", outcome="not_started"
            ) from None
        except TransportError as error:
            error.outcome = "not_started"
            raise
        else:
            self._connection = connection
        finally:
            if self._connection is not connection:  # also when cancelled right after the greeting
                transport.abort()
        return connection

    def _told_of_pause(self, connection: GuestConnection) -> None:
        # What runs inside must not be able to make a caller wait for ever: only the provider's
        # word keeps the clocks here stopped. One question at a time, however often it says so.
        if self._confirming:
            return
        task = asyncio.get_running_loop().create_task(self._doubt(connection))
        self._confirming.add(task)
        task.add_done_callback(self._confirming.discard)

    async def _doubt(self, connection: GuestConnection) -> None:
        with contextlib.suppress(SandboxError):
            await self._confirm_paused(connection)

    async def _confirm_paused(self, connection: GuestConnection) -> None:
        """Ask the provider, who may know better than this connection that the sandbox goes on.

        Raises:
            SandboxPausedError: it does not.
        """
        await self._refuse_if_paused()
        connection.go_on()

    async def _refuse_to_wait(self) -> None:
        """See that an operation that was sent will be done now.

        Raises:
            SandboxPausedError: it will be once the sandbox goes on.
        """
        if self._connection is not None and self._connection.paused:
            try:
                await self._confirm_paused(self._connection)
            except SandboxPausedError as error:
                error.outcome = "unknown"
                raise

    async def _refuse_if_paused(self) -> None:
        if self._find is not None and (info := await self._find()).state == "paused":
            raise SandboxPausedError.of(
                info.address, provider=self.provider, sandbox_id=self.sandbox_id
            )

    def _dialled(self, task: asyncio.Task[GuestConnection]) -> None:
        if self._dialling is task:
            self._dialling = None
        if not task.cancelled():
            task.exception()  # every caller may have been cancelled


def _cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Call(GuestStream):
    """An operation whose only answer is its RESULT."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: asyncio.Future[Fields] = asyncio.get_running_loop().create_future()

    def on_result(self, result: Fields) -> None:
        if not self.answer.done():
            self.answer.set_result(result)

    def on_error(self, error: SandboxError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def on_lost(self, error: TransportError) -> None:
        self.on_error(error)
