"""Wrong with what they tell of a sandbox: watches, metrics and networks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import ClassVar

from sandboxkit.models import FileEvent, SandboxInfo, SandboxMetrics
from sandboxkit.provider import CreateRequest, SandboxRequest, WatchRequest, WatchStream

from . import broken
from .local import Local


class Told(WatchStream):
    """A watch, passed on."""

    def __init__(self, inner: WatchStream) -> None:
        self.inner = inner

    def events(self) -> AsyncIterator[FileEvent]:
        return self.inner.events()

    async def aclose(self) -> None:
        await self.inner.aclose()


class Discreet(Told):
    async def events(self) -> AsyncIterator[FileEvent]:
        async for event in self.inner.events():
            if event.kind != "overflow":
                yield event


@broken("test_an_overflow_is_told_and_recovered_from", base="local", topics=("watch",))
class TellsOfNoOverflow(Local):
    """Goes on after an overflow as if nothing had been lost."""

    async def watch(self, request: WatchRequest) -> WatchStream:
        return Discreet(await super().watch(request))


class Halves(Told):
    async def events(self) -> AsyncIterator[FileEvent]:
        async for event in self.inner.events():
            if event.kind == "renamed" and event.target is not None:
                yield FileEvent("removed", event.path, event.type)
                yield FileEvent("created", event.target, event.type)
            else:
                yield event


@broken(
    "test_each_kind_is_told",
    "test_what_is_below_is_told_when_asked_for",
    "test_directories_that_move_keep_their_content",
    "test_none_of_ten_thousand_operations_is_missed",
    "test_an_overflow_is_told_and_recovered_from",
    base="local",
    topics=("watch",),
)
class RenamesInHalves(Local):
    """Tells of a rename what the kernel tells, two events, and forgets what is below."""

    async def watch(self, request: WatchRequest) -> WatchStream:
        return Halves(await super().watch(request))


@broken(
    "test_cpu_time_is_what_was_used",
    "test_limits_are_told",
    base="local",
    topics=("metrics",),
)
class CountsOnlyWhatRuns(Local):
    """Tells the cpu time of what is running now, which is nothing when it is asked."""

    async def metrics(self, request: SandboxRequest) -> SandboxMetrics:
        return replace(await super().metrics(request), cpu_seconds=0.01)


@broken(
    "test_files_that_were_written",
    "test_the_limit_of_the_disk_is_told",
    base="local",
    topics=("metrics",),
)
class TellsTheHostsDisk(Local):
    """Tells of a file system that is not the sandbox's."""

    async def metrics(self, request: SandboxRequest) -> SandboxMetrics:
        found = await super().metrics(request)
        return replace(found, disk_used=5 << 30, disk_limit=100 << 30)


@broken("test_memory_that_a_process_holds", base="local", topics=("metrics",))
class TellsMemoryInKibibytes(Local):
    """Is wrong by a factor of 1024."""

    async def metrics(self, request: SandboxRequest) -> SandboxMetrics:
        found = await super().metrics(request)
        return replace(found, memory_used=(found.memory_used or 0) // 1024)


@broken(
    "test_what_no_rule_names_is_not_reached",
    "test_a_wide_network_does_not_open_what_is_special_in_it",
    "test_rules_are_not_saved_and_not_lost",
    base="local",
    topics=("egress",),
)
class TellsOfRulesOnly(Local):
    """Tells of the rules as they were asked for, and lets everything through."""

    asked: ClassVar[dict[str, tuple[str, ...]]] = {}

    async def boot(self, request: CreateRequest) -> SandboxInfo:
        if request.network in ("none", "full"):
            return await super().boot(request)
        everything = (*request.network, "0.0.0.0/0", "127.0.0.0/8", "169.254.0.0/16")
        info = await super().boot(replace(request, network=everything))
        self.asked[info.id] = request.network
        return await self.find(info.id)

    async def find(self, sandbox_id: str) -> SandboxInfo:
        info = await super().find(sandbox_id)
        return replace(info, network=self.asked.get(sandbox_id, info.network))
