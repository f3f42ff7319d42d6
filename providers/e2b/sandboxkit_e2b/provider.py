"""Sandboxes of E2B's."""

# ruff: noqa: D102 - what a method of the base class does is said there

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from e2b import SandboxQuery
from e2b import SandboxState as SdkState
from e2b_code_interpreter import AsyncSandbox

from sandboxkit.errors import (
    InvalidRequestError,
    NotFoundError,
    SandboxError,
    SandboxNotFoundError,
    SandboxPausedError,
    SnapshotNotFoundError,
    TemplateNotFoundError,
    TransportError,
)
from sandboxkit.guest.carried import Orders, join, join_new
from sandboxkit.guest.provider import GuestProvider
from sandboxkit.models import ContextInfo, SandboxInfo, SandboxMetrics, SnapshotInfo
from sandboxkit.provider import (
    CodeStream,
    ContextRequest,
    CreateContextRequest,
    CreateRequest,
    LifetimeRequest,
    ListRequest,
    PauseRequest,
    PortURL,
    PortURLRequest,
    ProviderSettings,
    ResumeRequest,
    RunCodeRequest,
    SandboxRequest,
    SnapshotIdRequest,
    SnapshotListRequest,
    SnapshotRequest,
)

from . import CAPABILITIES, making, records
from .account import Account, sandbox_headers
from .carrier import CommandCarrier
from .interpreter import Interpreter, is_native
from .machines import Machines
from .pausing import Pausing
from .settings import E2BSettings
from .snapshots import Snapshots

__all__ = ["E2BProvider"]

REMEMBERED = 1000
"""Requests to create that are known again when they are repeated, which is soon or never."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


class E2BProvider(GuestProvider):
    """Sandboxes of one account, each with a guest that one of its commands carries."""

    name = "e2b"
    capabilities = CAPABILITIES
    settings_type = E2BSettings

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        assert isinstance(settings, E2BSettings)
        self._settings = settings
        self._account = Account(settings)
        self._machines = Machines(self._account)
        self._snapshots = Snapshots(self._account)
        self._pausing = Pausing(self._account, self.client, self._machines)
        self._fresh: dict[str, Orders] = {}
        self._asked: deque[str] = deque(maxlen=REMEMBERED)
        self.capabilities = replace(
            CAPABILITIES,
            isolation="remote" if settings.is_elsewhere else CAPABILITIES.isolation,
            users=settings.guest_user == "root",
            port_urls=settings.sandbox_url is None,
            languages=frozenset({"python", "bash"}) | settings.native_languages,
        )

    # -- lifecycle ----------------------------------------------------------------------------

    async def boot(self, request: CreateRequest) -> SandboxInfo:
        arguments = making.arguments(request, self._settings)
        if request.snapshot is not None:
            await self._snapshots.check(request.snapshot)
        try:
            made = await self._make(request.nonce, arguments)
        except (NotFoundError, TemplateNotFoundError) as error:
            raise _no_template(error, request, arguments["template"]) from error
        template, isolation = arguments["template"], self.capabilities.isolation
        info = records.created(made.sandbox_id, request, template, isolation)
        assert info.expires_at is not None
        self._machines.put(made, info.expires_at)
        if request.snapshot is None:
            self._fresh[made.sandbox_id] = records.orders(arguments["metadata"])
        return info

    async def _make(self, nonce: str, arguments: Mapping[str, Any]) -> AsyncSandbox:
        """Make one; what a request has made whose answer was lost is found, and not made again.

        E2B knows such a request by its key, but not every server keeps that.
        """
        if nonce in self._asked:
            try:
                async for found in self.list(ListRequest(labels={"nonce": nonce})):
                    return await self._machines.get(found.id)
            except SandboxError as error:
                error.op = "create"
                raise
        self._asked.append(nonce)
        return await self._account.call("create", self._account.sandboxes.create(**arguments))

    async def dial(self, sandbox_id: str, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        orders = self._fresh.pop(sandbox_id, None)
        if orders is not None:  # nobody can have started a guest there
            machine = await self._machines.get(sandbox_id)
            start = partial(CommandCarrier.start, self._account, machine)
            with _powerless_root_explained():
                return await join_new(start, factory, orders)
        found = await self._machines.look(sandbox_id)
        if found.state == SdkState.PAUSED:
            raise SandboxPausedError.of(f"e2b:{sandbox_id}", sandbox_id=sandbox_id)
        machine = await self._machines.get(sandbox_id, found)
        carrier = await CommandCarrier.start(self._account, machine)
        with _powerless_root_explained():
            return await join(carrier, factory, records.orders(found.metadata))

    async def destroy(self, sandbox_id: str) -> bool:
        was_there = await self._account.call("kill", self._account.sandboxes.kill(sandbox_id))
        self._machines.forget(sandbox_id)
        self._fresh.pop(sandbox_id, None)
        return bool(was_there)

    async def find(self, sandbox_id: str) -> SandboxInfo:
        found = await self._machines.look(sandbox_id)
        return records.sandbox_info(found, self.capabilities.isolation)

    async def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        states = [SdkState.RUNNING, SdkState.PAUSED]
        if request.state is not None:
            states = [SdkState(request.state)]
        query = SandboxQuery(metadata=records.filters(request), state=states)
        pages = self._account.sandboxes.list(query=query)
        while pages.has_next:
            for found in await self._account.call("list", pages.next_items()):
                yield records.sandbox_info(found, self.capabilities.isolation)

    async def set_lifetime(self, request: LifetimeRequest) -> SandboxInfo:
        seconds = records.seconds(request.lifetime)
        setting = self._account.sandboxes.set_timeout(request.sandbox_id, seconds)
        try:
            await self._account.call("set_lifetime", setting)
        except SandboxNotFoundError:  # E2B has no lifetime for a paused one
            found = await self.find(request.sandbox_id)
        else:
            found = await self.connect(request)
        if found.state == "paused":
            self._pausing.set_left(request.sandbox_id, seconds)
        return found

    async def pause(self, request: PauseRequest) -> SandboxInfo:
        await self._pausing.pause(request.sandbox_id)
        return await self.find(request.sandbox_id)

    async def resume(self, request: ResumeRequest) -> SandboxInfo:
        await self._pausing.resume(request.sandbox_id)
        return await self.connect(request)

    async def metrics(self, request: SandboxRequest) -> SandboxMetrics:
        measured, found = await asyncio.gather(
            self.measure(request.sandbox_id), self._machines.look(request.sandbox_id, "metrics")
        )
        memory = found.memory_mb << 20 if found.memory_mb else None
        return replace(measured, cpu_limit=found.cpu_count or None, memory_limit=memory)

    async def port_url(self, request: PortURLRequest) -> PortURL:
        machine = await self._machines.get(request.sandbox_id)
        scheme = "wss" if request.scheme == "ws" else "https"
        url = f"{scheme}://{machine.get_host(request.port)}"
        return PortURL(url, headers=sandbox_headers(machine))

    # -- code ---------------------------------------------------------------------------------

    async def run_code(self, request: RunCodeRequest) -> CodeStream:
        native = is_native(request.context) if request.context else self._native(request.language)
        if not native:
            return await super().run_code(request)
        return await (await self._interpreter(request)).run(request)

    async def create_context(self, request: CreateContextRequest) -> ContextInfo:
        if not self._native(request.language):
            return await super().create_context(request)
        return await (await self._interpreter(request)).create(request)

    async def list_contexts(self, request: SandboxRequest) -> Sequence[ContextInfo]:
        found = list(await super().list_contexts(request))
        if self._settings.native_languages:
            with contextlib.suppress(TransportError):  # this template has no code interpreter
                found += await (await self._interpreter(request)).list()
        return found

    async def restart_context(self, request: ContextRequest) -> ContextInfo:
        if not is_native(request.context):
            return await super().restart_context(request)
        return await (await self._interpreter(request)).restart(request.context)

    async def remove_context(self, request: ContextRequest) -> None:
        if not is_native(request.context):
            return await super().remove_context(request)
        return await (await self._interpreter(request)).remove(request.context)

    def _native(self, language: str) -> bool:
        return language in self._settings.native_languages

    async def _interpreter(self, request: SandboxRequest) -> Interpreter:
        return Interpreter(self._account, await self._machines.get(request.sandbox_id))

    # -- snapshots ----------------------------------------------------------------------------

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        found = await self._machines.look(request.sandbox_id)
        if found.state == SdkState.PAUSED:
            raise SandboxPausedError.of(f"e2b:{request.sandbox_id}")
        return await self._snapshots.take(request)

    def list_snapshots(self, request: SnapshotListRequest) -> AsyncIterator[SnapshotInfo]:
        return self._snapshots.list(request.labels)

    async def delete_snapshot(self, request: SnapshotIdRequest) -> bool:
        return await self._snapshots.delete(request.snapshot_id)

    # -- the SDK ------------------------------------------------------------------------------

    def native(self, sandbox_id: str) -> object:
        """The SDK's ``AsyncSandbox``, once the sandbox was made or reached here."""
        return self._machines.known(sandbox_id)


def _no_template(error: SandboxError, request: CreateRequest, template: str) -> SandboxError:
    if request.snapshot is not None:
        return SnapshotNotFoundError(
            f"there is no snapshot {request.snapshot}", hint="sandboxkit snapshot ls"
        )
    return TemplateNotFoundError(
        f"there is no template {template!r} in this account: {error.message}",
        hint='e2b template list; the setting template, or e2b = "NAME" under [templates.NAME]',
    )


@contextlib.contextmanager
def _powerless_root_explained() -> Iterator[None]:
    """Say what to set where a server's sandboxes have a root that may not act for others."""
    try:
        yield
    except InvalidRequestError as error:
        if "root cannot act for" in error.message:
            error.hint = 'set guest_user = "" in the profile: this server\'s root is no real one'
        raise
