"""Wrong with processes, code or limits: made from the provider that really runs them."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import ClassVar

from sandboxkit.errors import ExecLostError, InvalidRequestError, PathNotFoundError
from sandboxkit.models import Cursor, OutputChunk, SandboxInfo, SnapshotInfo
from sandboxkit.provider import (
    AttachRequest,
    Closed,
    CodeStream,
    CreateRequest,
    Exited,
    LifetimeRequest,
    ListRequest,
    ProcessEvent,
    ProcessStream,
    RunCodeRequest,
    SnapshotListRequest,
    SnapshotRequest,
    StartRequest,
)
from sandboxkit_local.provider import LocalProvider

from . import broken


class Local(LocalProvider):
    """Right, under a name of its own."""

    async def boot(self, request: CreateRequest) -> SandboxInfo:
        return replace(await super().boot(request), provider=self.name)

    async def find(self, sandbox_id: str) -> SandboxInfo:
        return replace(await super().find(sandbox_id), provider=self.name)

    async def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        async for info in super().list(request):
            yield replace(info, provider=self.name)

    async def set_lifetime(self, request: LifetimeRequest) -> SandboxInfo:
        return replace(await super().set_lifetime(request), provider=self.name)

    async def snapshot(self, request: SnapshotRequest) -> SnapshotInfo:
        return replace(await super().snapshot(request), provider=self.name)

    async def list_snapshots(self, request: SnapshotListRequest) -> AsyncIterator[SnapshotInfo]:
        async for info in super().list_snapshots(request):
            yield replace(info, provider=self.name)


class Stream(ProcessStream):
    """A process, passed on."""

    def __init__(self, inner: ProcessStream) -> None:
        self.inner = inner
        self.pid = inner.pid

    def events(self) -> AsyncIterator[ProcessEvent]:
        return self.inner.events()

    async def send_stdin(self, data: bytes) -> None:
        await self.inner.send_stdin(data)

    async def close_stdin(self) -> None:
        await self.inner.close_stdin()

    async def signal(self, signum: int) -> None:
        await self.inner.signal(signum)

    async def terminate(self, grace: float = 0.5) -> None:
        await self.inner.terminate(grace)

    async def detach(self) -> None:
        await self.inner.detach()


class Streaming(Local):
    """Does something to a process's stream."""

    stream: ClassVar[type[Stream]]

    async def start(self, request: StartRequest) -> ProcessStream:
        return self.stream(await super().start(request))


# -- exits --------------------------------------------------------------------------------------

SIGNALS = (
    "test_a_signal_is_128_plus_n",
    "test_fifty_at_once_beside_a_stalled_one",
    "test_out_of_memory_is_told_apart",
)


@broken(*SIGNALS, base="local", topics=("commands",))
class UnknownIsSuccess(Streaming):
    """``exit_code or 0``."""

    class stream(Stream):  # noqa: N801
        async def events(self) -> AsyncIterator[ProcessEvent]:
            async for event in self.inner.events():
                yield (
                    Exited(event.code or 0)
                    if isinstance(event, Exited) and not event.timed_out
                    else event
                )


@broken(*SIGNALS, base="local", topics=("commands",))
class SignalsAreNegative(Streaming):
    """Reports a signal as Python's own subprocess does."""

    class stream(Stream):  # noqa: N801
        async def events(self) -> AsyncIterator[ProcessEvent]:
            async for event in self.inner.events():
                if isinstance(event, Exited) and event.signal and not event.timed_out:
                    event = Exited(-event.signal)
                yield event


@broken(
    "test_status_is_the_commands",
    "test_out_of_memory_is_told_apart",
    base="local",
    topics=("commands",),
)
class HighStatusIsASignal(Streaming):
    """Takes every status above 128 for a signal."""

    class stream(Stream):  # noqa: N801
        async def events(self) -> AsyncIterator[ProcessEvent]:
            async for event in self.inner.events():
                if isinstance(event, Exited) and event.code is not None and event.code > 128:
                    event = Exited(None, event.code - 128)
                yield event


# -- output -------------------------------------------------------------------------------------


@broken(
    "test_streams_are_apart_and_byte_for_byte",
    "test_fifty_at_once_beside_a_stalled_one",
    "test_stdin_of_every_kind",
    base="local",
    topics=("commands",),
)
class DecodesLossily(Streaming):
    """Decodes output, with replacement, and encodes it again."""

    class stream(Stream):  # noqa: N801
        async def events(self) -> AsyncIterator[ProcessEvent]:
            ends = {"stdout": 0, "stderr": 0}
            async for event in self.inner.events():
                if isinstance(event, OutputChunk):
                    data = event.data.decode("utf-8", "replace").encode()
                    event = OutputChunk(event.stream, data, ends[event.stream])
                    ends[event.stream] += len(data)
                yield event


@broken(
    "test_streams_are_apart_and_byte_for_byte",
    "test_check_raises_with_the_result",
    "test_max_output_keeps_the_tail",
    "test_output_right_before_the_exit_is_all_there",
    "test_unknown_program",
    base="local",
    topics=("commands",),
)
class MergesStreams(Streaming):
    """``2>&1``."""

    class stream(Stream):  # noqa: N801
        async def events(self) -> AsyncIterator[ProcessEvent]:
            end = 0
            async for event in self.inner.events():
                if isinstance(event, OutputChunk):
                    event = OutputChunk("stdout", event.data, end)
                    end += len(event.data)
                yield event


@broken("test_a_hundred_mebibytes_with_bounded_memory", base="local", topics=("commands",))
class TruncatesInSilence(Streaming):
    """Drops what is more than 10 MiB and does not say so."""

    class stream(Stream):  # noqa: N801
        async def events(self) -> AsyncIterator[ProcessEvent]:
            async for event in self.inner.events():
                if not isinstance(event, OutputChunk) or event.offset < 22 << 20:
                    yield event


@broken(
    "test_first_chunk_comes_before_the_end",
    "test_a_callback_that_raises_kills_the_command",
    "test_a_slow_reader_makes_its_own_command_wait",
    base="local",
    topics=("streaming",),
)
class FakesStreaming(Streaming):
    """Delivers everything at the end, or after five seconds, in pieces."""

    class stream(Stream):  # noqa: N801
        async def events(self) -> AsyncIterator[ProcessEvent]:
            kept: list[ProcessEvent] = []
            source = self.inner.events()
            try:
                async with asyncio.timeout(5):
                    while not kept or not isinstance(kept[-1], Exited):
                        kept.append(await anext(source))
            except TimeoutError:
                pass
            for event in kept:
                yield event
            if not kept or not isinstance(kept[-1], Exited):
                async for event in source:
                    yield event
            yield Closed()


@broken("test_attach_replays_from_a_cursor", base="local", topics=("streaming",))
class AttachesFromTheStart(Local):
    """Replays everything, whatever the cursor."""

    async def attach(self, request: AttachRequest) -> ProcessStream:
        return await super().attach(replace(request, cursor=Cursor()))


@broken("test_background_child_does_not_hold_the_call", base="local", topics=("commands",))
class WaitsForTheEndOfThePipe(Streaming):
    """Reports the exit when nobody holds the pipe any more, or after two seconds."""

    class stream(Stream):  # noqa: N801
        async def events(self) -> AsyncIterator[ProcessEvent]:
            exited: Exited | None = None
            source = self.inner.events()
            while True:
                try:
                    async with asyncio.timeout(None if exited is None else 2):
                        event = await anext(source)
                except TimeoutError:
                    event = Closed()
                if isinstance(event, Exited):
                    exited = event
                    continue
                if isinstance(event, Closed) and exited is not None:
                    yield exited
                yield event
                if isinstance(event, Closed):
                    return


# -- input and environment ----------------------------------------------------------------------


@broken("test_fifty_megabytes_of_stdin", base="local", topics=("commands",))
class TruncatesInput(Streaming):
    """Has a limit for input that it does not declare."""

    class stream(Stream):  # noqa: N801
        sent = 0

        async def send_stdin(self, data: bytes) -> None:
            if self.sent < 20 << 20:
                self.sent += len(data)
                await self.inner.send_stdin(data)


@broken("test_stdin_is_empty_unless_given", base="local", topics=("commands",))
class StdinIsNotEmpty(Local):
    """Lets a command see a line that nobody sent."""

    async def start(self, request: StartRequest) -> ProcessStream:
        stream = await super().start(replace(request, stdin=True))
        if not request.stdin and request.command == "cat; echo done":
            await stream.send_stdin(b"\n")
        if not request.stdin:
            await stream.close_stdin()
        return stream


@broken("test_nothing_of_the_caller_is_inherited", base="local", topics=("commands",))
class InheritsTheEnvironment(Local):
    """Gives commands the variables of whoever calls."""

    async def start(self, request: StartRequest) -> ProcessStream:
        known = {name: value for name, value in os.environ.items() if name.startswith("SECRET")}
        return await super().start(replace(request, env={**known, **request.env}))


@broken("test_sandbox_env_and_workdir", base="local", topics=("commands",))
class TheSandboxsVariablesWin(Local):
    """Merges the environments in the wrong order."""

    created: ClassVar[dict[str, dict[str, str]]] = {}

    async def boot(self, request: CreateRequest) -> SandboxInfo:
        info = await super().boot(request)
        self.created[info.id] = dict(request.env)
        return info

    async def start(self, request: StartRequest) -> ProcessStream:
        below = self.created.get(request.sandbox_id, {})
        return await super().start(replace(request, env={**request.env, **below}))


@broken("test_argument_list_sees_no_shell", base="local", topics=("commands",))
class JoinsArguments(Local):
    """Makes a shell's text of an argument list."""

    async def start(self, request: StartRequest) -> ProcessStream:
        if not isinstance(request.command, str) and request.command[0] == "printf":
            request = replace(request, command=" ".join(request.command))
        return await super().start(request)


@broken("test_text_is_bash_without_login", base="local", topics=("commands",))
class LogsIn(Local):
    """Runs a login shell, with all that its profile does."""

    async def start(self, request: StartRequest) -> ProcessStream:
        if isinstance(request.command, str) and "login_shell" in request.command:
            request = replace(request, command=f"bash -lc {shlex.quote(request.command)}")
        return await super().start(request)


@broken("test_missing_cwd", base="local", topics=("commands",))
class AnyDirectoryWillDo(Local):
    """Runs a command elsewhere if its directory is not there."""

    async def start(self, request: StartRequest) -> ProcessStream:
        try:
            return await super().start(request)
        except PathNotFoundError:
            return await super().start(replace(request, cwd="/"))


@broken("test_unknown_user", base="local", topics=("commands",))
class AnyUserWillDo(Local):
    """Runs a command as its default user if the one asked for is not there."""

    async def start(self, request: StartRequest) -> ProcessStream:
        try:
            return await super().start(request)
        except InvalidRequestError:
            if request.user is None:
                raise
            return await super().start(replace(request, user=None))


# -- ends ---------------------------------------------------------------------------------------


class KillsOne(Stream):
    """Ends the process itself and leaves the rest of its tree alone."""

    timeout: float | None = None

    async def events(self) -> AsyncIterator[ProcessEvent]:
        loop = asyncio.get_running_loop()
        late: list[asyncio.Task[None]] = []

        def kill() -> None:
            late.append(loop.create_task(self.inner.signal(signal.SIGKILL)))

        timer = None if self.timeout is None else loop.call_later(self.timeout, kill)
        async for event in self.inner.events():
            if isinstance(event, Exited) and late:
                event = replace(event, timed_out=True)
            yield event
        if timer is not None:
            timer.cancel()


@broken(
    "test_timeout_keeps_output_and_leaves_nothing",
    "test_timeout_of_what_hides",
    "test_timeout_of_what_ignores_sigterm",
    base="local",
    topics=("commands",),
)
class TimeoutKillsOnlyTheProcess(Local):
    """Ends what it started, and not what that has started."""

    async def start(self, request: StartRequest) -> ProcessStream:
        stream = KillsOne(await super().start(replace(request, timeout=None)))
        stream.timeout = request.timeout
        return stream


@broken(
    "test_cancel_leaves_nothing",
    "test_cancel_at_any_moment",
    "test_bad_arguments_start_nothing",
    "test_fifty_at_once_beside_a_stalled_one",
    base="local",
    topics=("commands",),
)
class CancelOnlyLetsGo(Streaming):
    """Hears that a command is to be ended, and does nothing."""

    class stream(Stream):  # noqa: N801
        async def terminate(self, grace: float = 0.5) -> None:
            await self.inner.detach()


@broken(
    "test_started_process_outlives_its_client",
    "test_attach_replays_from_a_cursor",
    base="local",
    topics=("streaming",),
)
class NothingOutlivesItsClient(Streaming):
    """Ends what a client has started when that looks away."""

    class stream(Stream):  # noqa: N801
        async def detach(self) -> None:
            await self.inner.terminate(0)


@broken(
    "test_calls_pending_in_a_killed_sandbox_end",
    "test_expiry_is_the_cause_that_a_pending_call_hears",
    base="local",
    topics=("lifecycle",),
)
class LosesWithoutACause(Streaming):
    """Cannot tell why a command was lost."""

    class stream(Stream):  # noqa: N801
        async def events(self) -> AsyncIterator[ProcessEvent]:
            try:
                async for event in self.inner.events():
                    yield event
            except ExecLostError as error:
                error.cause = "transport"
                raise


@broken("test_found_from_another_process", base="local", topics=("lifecycle",))
class RemembersOnlyItsOwn(Local):
    """Keeps its list of sandboxes in the process that made them."""

    made: ClassVar[set[str]] = set()

    async def boot(self, request: CreateRequest) -> SandboxInfo:
        info = await super().boot(request)
        self.made.add(info.id)
        return info

    async def list(self, request: ListRequest) -> AsyncIterator[SandboxInfo]:
        async for info in super().list(request):
            if info.id in self.made:
                yield info


# -- limits -------------------------------------------------------------------------------------


class Unlimited(Local):
    """Accepts a limit and does not set it."""

    limit: ClassVar[str]

    async def boot(self, request: CreateRequest) -> SandboxInfo:
        return await super().boot(replace(request, **{self.limit: None}))


@broken("test_memory_is_limited", base="local", topics=("limits",))
class IgnoresTheMemoryLimit(Unlimited):
    """Accepts a bound for memory and sets none."""

    limit = "memory"


@broken("test_processes_are_limited", base="local", topics=("limits",))
class IgnoresTheProcessLimit(Unlimited):
    """Accepts a bound for processes and sets none."""

    limit = "pids"


@broken("test_disk_is_limited", base="local", topics=("limits",))
class IgnoresTheDiskLimit(Unlimited):
    """Accepts a bound for the disk and sets none."""

    limit = "disk"


@broken("test_cpu_is_limited", base="local", topics=("limits",))
class IgnoresTheCpuLimit(Unlimited):
    """Accepts a bound for the cpu and sets none."""

    limit = "cpu"


# -- code ---------------------------------------------------------------------------------------


@broken("test_env_is_for_one_cell", base="local", topics=("code",))
class CellsHaveNoVariables(Local):
    """Ignores a cell's environment."""

    async def run_code(self, request: RunCodeRequest) -> CodeStream:
        return await super().run_code(replace(request, env={}))


@broken("test_contexts_are_apart", base="local", topics=("code",))
class OneContextForAll(Local):
    """Runs every cell in the default context when it prints nothing of its own."""

    async def run_code(self, request: RunCodeRequest) -> CodeStream:
        return await super().run_code(replace(request, context=None))
