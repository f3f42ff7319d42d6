"""Sandboxes as Blaxel knows them, and how their own APIs are reached."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from functools import partial

from sandboxkit.errors import (
    NotFoundError,
    ProtocolError,
    SandboxError,
    SandboxNotFoundError,
    TransportError,
)
from sandboxkit.guest.carried import Carrier
from sandboxkit.provider.settling import until

from . import records, sdk
from .account import Account

__all__ = ["Machine", "Machines"]

PATIENCE = 60.0
"""Seconds for a deletion to be done."""


class Machine:
    """One that was reached.

    Attributes:
        client: of its own API.
        found: what Blaxel said of it last.
        carriers: what carries guests there, of this process.
        gone: whether it has ended, or was let go of.
    """

    def __init__(self, client: sdk.SandboxClient, found: sdk.Sandbox) -> None:
        self.client = client
        self.found = found
        self.carriers: set[Carrier] = set()
        self.gone = False

    def check(self) -> None:
        """See that it may be used.

        Raises:
            TransportError: it was let go of.
        """
        if self.gone:
            raise TransportError("the sandbox has ended, or was let go of", provider="blaxel")

    async def aclose(self) -> None:
        """Close the connections to it, once nothing is carried over them."""
        while self.carriers:
            await asyncio.gather(*(one.stop() for one in [*self.carriers]))
        self.gone = True
        await self.client.get_async_httpx_client().aclose()


class Machines:
    """Finds them, and keeps the connections to those it has found.

    Args:
        account: whose.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._kept: dict[str, Machine] = {}
        self._pid = os.getpid()

    @property
    def _known(self) -> dict[str, Machine]:
        if self._pid != os.getpid():  # the connections, and what they carry, are a parent's
            self._pid, self._kept = os.getpid(), {}
        return self._kept

    async def look(self, name: str, op: str = "connect") -> sdk.Sandbox:
        """What Blaxel says of a sandbox, which wakes it not.

        Raises:
            SandboxNotFoundError: there is none, or no longer.
        """
        asking = sdk.control.get_sandbox.asyncio(name, client=self._account.control)
        try:
            found = await self._account.call(op, asking)
        except NotFoundError as error:
            raise self._missing(name) from error
        if found is None or not records.is_live(found):
            raise self._missing(name)
        return found

    def _missing(self, name: str) -> SandboxNotFoundError:
        """That one is not there; why, where it is known."""
        machine = self._known.get(name)
        ends = None if machine is None else records.ends_of(machine.found)
        over = ends is not None and ends <= datetime.now(UTC)
        return SandboxNotFoundError(
            f"sandbox {name} has ended: its time was over"
            if over
            else f"there is no sandbox blaxel:{name}",
            cause="expired" if over else None,
            sandbox_id=name,
        )

    def put(self, found: sdk.Sandbox) -> Machine:
        """Keep one.

        Raises:
            ProtocolError: it cannot be reached, for nobody says where it is.
        """
        url = found.metadata.url
        if not isinstance(url, str) or not url:
            raise ProtocolError("Blaxel does not say where the sandbox is", provider="blaxel")
        machine = self._known.get(found.metadata.name)
        if machine is None:
            machine = self._known[found.metadata.name] = Machine(self._account.inside(url), found)
        machine.found = found
        return machine

    def known(self, name: str) -> Machine | None:
        """One that is kept."""
        return self._known.get(name)

    async def get(self, name: str) -> Machine:
        """One that is there now.

        Raises:
            SandboxNotFoundError: there is none, or no longer.
        """
        return self.put(await self.look(name))

    async def delete(self, name: str) -> bool:
        """Delete one, and return when it is gone; true if it was there.

        Raises:
            SandboxError: it could not be.
        """
        deleting = sdk.control.delete_sandbox.asyncio(name, client=self._account.control)
        try:
            found = await self._account.call("kill", deleting)
        except NotFoundError:
            return False
        if found is None or str(found.status) != "TERMINATED":
            gone = partial(self._is_gone, name)
            if not await until(gone, seconds=PATIENCE, first=0.05, rarest=1.0):
                raise SandboxError(
                    f"Blaxel has not deleted {name} within {PATIENCE:g} s", outcome="unknown"
                )
        if (machine := self._known.get(name)) is not None:
            machine.gone = True
        return True

    async def _is_gone(self, name: str) -> bool:
        # Blaxel deletes in the background, and tells of the end by nothing but its answers.
        asking = sdk.control.get_sandbox.asyncio(name, client=self._account.control)
        try:
            found = await self._account.call("kill", asking)
        except NotFoundError:
            return True
        return found is None or str(found.status) == "TERMINATED"

    async def forget(self, name: str) -> None:
        """Let go of one. Idempotent."""
        machine = self._known.pop(name, None)
        if machine is not None:
            await machine.aclose()

    async def aclose(self) -> None:
        """Let go of all."""
        for name in [*self._known]:
            await self.forget(name)
