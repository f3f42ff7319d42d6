"""The one implementation of a sandbox; `sync.Sandbox` is its blocking face."""

from __future__ import annotations

import builtins
import os
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, Never, Self

from . import creation, gate
from .capabilities import Capabilities
from .cells import ErrorCallback, ResultCallback, run_cell, stream_cell
from .contexts import AsyncContexts, cell_request
from .errors import (
    SandboxError,
    SandboxNotFoundError,
    located,
)
from .execution import run_command
from .files import AsyncFiles
from .models import (
    CodeError,
    CommandResult,
    ContextInfo,
    Cursor,
    Execution,
    OutputText,
    ProcessInfo,
    Result,
    SandboxInfo,
    SandboxMetrics,
    SandboxState,
    SnapshotInfo,
    SnapshotKind,
    TerminalSize,
)
from .mounts import Mount
from .output import Callback
from .plan import Plan
from .ports import AsyncForward, Ports
from .process import AsyncProcess
from .provider import (
    AttachRequest,
    KillRequest,
    PortURL,
    Provider,
    ResumeRequest,
    SandboxRequest,
    SnapshotRequest,
    StartRequest,
)
from .requests import (
    check_callbacks,
    check_kind,
    check_snapshot_name,
    fork_request,
    lifetime_request,
    pause_request,
    run_request,
    session_labels,
)
from .resolve import UNSET, Target, Unset
from .runtime import Lease, acquire
from .snapshot import AsyncSnapshot
from .spec import NetworkPolicy, Resources
from .stdin import Stdin, check_source
from .template import Template
from .terminals import interactive_shell, terminal_size
from .threads import in_thread
from .units import Duration, Size, parse_duration, parse_size
from .watch import AsyncWatch

__all__ = ["AsyncSandbox", "Creating"]


class Creating:
    """A sandbox that is about to be: await it, or use it with ``async with``."""

    def __init__(self, profile: str | None, arguments: Mapping[str, Any]) -> None:
        self._profile = profile
        self._arguments = arguments
        self._sandbox: AsyncSandbox | None = None

    def __await__(self) -> Generator[Any, None, AsyncSandbox]:
        return self._make().__await__()

    async def _make(self) -> AsyncSandbox:
        info, lease, chosen, spec = await creation.create(self._profile, self._arguments)
        return AsyncSandbox(info, lease, chosen, created=True, session=spec.session)

    async def __aenter__(self) -> AsyncSandbox:
        self._sandbox = await self._make()
        return self._sandbox

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._sandbox is not None:
            await self._sandbox.__aexit__(kind, error, traceback)


class AsyncSandbox:
    """A computer you can throw away.

    Made by `create` or found by `connect`. ``with`` kills what it created and only lets go of
    what it connected to.

    Attributes:
        files: its files.
        contexts: its code contexts.
    """

    def __init__(
        self,
        info: SandboxInfo,
        lease: Lease,
        target: Target,
        *,
        created: bool,
        session: str | None = None,
    ) -> None:
        self._info = info
        self._lease = lease
        self._target = target
        self._created = created
        self._session = session
        self._closed = False
        self._killed = False
        self._pid = os.getpid()
        self._processes: set[AsyncProcess] = set()
        self._watches: set[AsyncWatch] = set()
        self.files = AsyncFiles(self._use, info.id, lambda: self._info.workdir, self._watches)
        self.contexts = AsyncContexts(self._use, info.id)
        self._ports = Ports(self._use, info.id, info.address)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address}>"

    # -- making and finding -------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        profile: str | None = None,
        *,
        template: str | Template | None = None,
        image: str | None = None,
        snapshot: str | SnapshotInfo | AsyncSnapshot | None = None,
        lifetime: Duration | Unset | None = UNSET,
        idle_timeout: Duration | None = None,
        create_timeout: Duration | None = None,
        on_timeout: Literal["kill", "pause"] | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        user: str | None = None,
        metadata: Mapping[str, str] | None = None,
        resources: Resources | Mapping[str, Any] | None = None,
        network: NetworkPolicy | Sequence[str] | None = None,
        ports: Sequence[int] | None = None,
        mounts: Sequence[str | Mount | Mapping[str, Any]] | None = None,
        files: Mapping[str, Any] | None = None,
        session: str | None = None,
        keep_on_error: bool = False,
        best_effort: bool = False,
        provider_options: Mapping[str, Any] | None = None,
        **unknown: Never,
    ) -> Creating:
        """Make a sandbox. Await the result, or use it with ``async with``.

        Args:
            profile: a profile or a provider; ``None`` is the configured default.
            template: what to start from, by its logical name; or a `Template`, where the
                provider can build.
            image: a container image instead.
            snapshot: a snapshot, its address or its name instead.
            lifetime: until it ends by itself, one hour by default; ``None`` is never.
            idle_timeout: how long it may do nothing; no limit by default.
            create_timeout: by when it must be ready, two minutes by default.
            on_timeout: what happens at the end of its lifetime: ``kill``, or ``pause``.
            env: set for every command.
            workdir: where relative paths start.
            user: who commands run as.
            metadata: text to find it by later.
            resources: limits, such as ``Resources(cpu=2, memory="2GiB")``.
            network: ``"none"`` (the default), ``"full"``, or hosts and networks it may reach.
            ports: ports that `url` and `forward` must be able to reach; they need not be named.
            mounts: host directories to show inside: ``"SRC:DST"``, read-only, ``"SRC:DST:rw"``, or
                `Mount` objects.
            files: written before this returns: path to content or to a local file's `Path`.
            session: a label shared with other sandboxes; the process's own by default.
            keep_on_error: do not kill a sandbox whose preparation failed.
            best_effort: go without conveniences and limits that the provider lacks.
            provider_options: for this provider alone.
            unknown: refused, with a hint at what was meant.

        Raises:
            InvalidRequestError: an argument is wrong; nothing was made.
            ConfigError: the profile or the configuration is wrong; nothing was made.
            UnsupportedError: the provider lacks what was asked for; nothing was made.
            CreateTimeoutError: it was not ready in time; nothing was left.
            ProviderUnavailableError: the provider cannot work here.
        """
        arguments = dict(locals())
        for name in ("cls", "profile", "unknown"):
            arguments.pop(name)
        return Creating(profile, {**arguments, **unknown})

    @classmethod
    async def connect(
        cls, address: str, *, profile: str | None = None, resume: bool = True
    ) -> AsyncSandbox:
        """Find a live sandbox, made by whomever.

        Args:
            address: ``provider:id``.
            profile: by which to reach it, where several would do.
            resume: wake it if it is paused.

        Raises:
            SandboxNotFoundError: there is none, or no longer; says why where that is known.
        """
        info, lease, chosen = await creation.connect(address, profile, resume=resume)
        return cls(info, lease, chosen, created=False)

    @classmethod
    async def list(
        cls,
        profile: str | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        session: str | None = None,
        state: SandboxState | None = None,
    ) -> builtins.list[SandboxInfo]:
        """The live sandboxes of a profile's account, newest first.

        Args:
            profile: ``None`` is the configured default.
            metadata: only those that carry all of this.
            session: only those of this session.
            state: only those in this state.
        """
        from .listing import list_sandboxes

        return await list_sandboxes(profile, metadata or {}, session, state)

    @classmethod
    async def snapshots(cls, profile: str | None = None) -> builtins.list[AsyncSnapshot]:
        """The snapshots of a profile's account that are yours, newest first."""
        from .listing import list_snapshots

        return await list_snapshots(profile)

    @classmethod
    def plan(cls, profile: str | None = None, **arguments: Any) -> Plan:
        """What a profile's provider would do for these arguments of `create`. Makes nothing.

        Raises:
            InvalidRequestError: an argument is wrong.
        """
        return creation.plan(profile, arguments)

    # -- what it is ---------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The provider's own identifier."""
        return self._info.id

    @property
    def address(self) -> str:
        """``provider:id``, good for `connect` in any process."""
        return self._info.address

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self._info.provider

    @property
    def capabilities(self) -> Capabilities:
        """What it can do, natively or emulated."""
        return self._lease.provider.capabilities

    @property
    def emulated(self) -> frozenset[str]:
        """The capabilities that are emulated and not the provider's own."""
        return getattr(self._lease.provider, "emulated", frozenset())

    @property
    def native(self) -> object:
        """The provider SDK's own object, for what this interface does not cover, or ``None``."""
        return self._use("native", "").native(self.id)

    async def info(self) -> SandboxInfo:
        """What the provider says of it now.

        Raises:
            SandboxNotFoundError: it has ended.
        """
        provider = self._use("info", "")
        self._info = await provider.connect(SandboxRequest(sandbox_id=self.id))
        return self._info

    async def metrics(self) -> SandboxMetrics:
        """What it uses now. What the provider cannot tell is ``None``.

        Raises:
            UnsupportedError: the provider tells nothing of this.
        """
        return await self._use("metrics", "metrics").metrics(SandboxRequest(sandbox_id=self.id))

    async def is_running(self) -> bool:
        """Whether it is there and not paused."""
        try:
            return (await self.info()).state == "running"
        except SandboxNotFoundError:
            return False

    async def set_lifetime(self, lifetime: Duration | None) -> SandboxInfo:
        """Let it end `lifetime` from now, or of a paused one, from when it is resumed.

        Args:
            lifetime: ``None`` is never.

        Raises:
            UnsupportedError: the provider cannot change it, or ends every sandbox.
        """
        provider = self._use("set_lifetime", "lifetime_update")
        self._info = await provider.set_lifetime(lifetime_request(provider, self.id, lifetime))
        return self._info

    async def pause(self, lifetime: Duration | Unset | None = UNSET) -> SandboxInfo:
        """Let it stand still, using no cpu, until it is resumed; returns when it does.

        What it keeps is said by ``capabilities.pause_keeps``. Its lifetime, command timeouts and
        open streams stand still too. Until then new operations raise `SandboxPausedError`, in
        every client. Pausing a paused sandbox only sets its end anew.

        Args:
            lifetime: after which it ends if nobody resumes it: 24 hours unless another is given,
                and ``None`` is never. Where the provider cannot end a paused sandbox, it is never,
                and may not be given.

        Raises:
            UnsupportedError: it cannot be paused, or does not end by itself then.
            SandboxNotFoundError: it has ended.
        """
        with self._located("pause"):
            provider = self._use("pause", "pause")
            self._info = await provider.pause(pause_request(provider, self.id, lifetime))
            return self._info

    async def resume(self) -> SandboxInfo:
        """Let it go on where it was, with what was left of its lifetime.

        One that was paused at the end of its lifetime begins a new one. Resuming a running
        sandbox is no error.

        Raises:
            UnsupportedError: it cannot be paused, so it never is.
            SandboxNotFoundError: it has ended.
        """
        with self._located("resume"):
            request = ResumeRequest(sandbox_id=self.id)
            self._info = await self._use("resume", "pause").resume(request)
            return self._info

    # -- its end ------------------------------------------------------------------------------

    async def kill(self) -> bool:
        """End it and everything in it; true if it was there. Idempotent, and verified."""
        if self._closed:
            async with acquire(self._target) as provider:
                return await provider.kill(KillRequest(sandbox_id=self.id))
        try:
            return await self._lease.provider.kill(KillRequest(sandbox_id=self.id))
        finally:
            self._killed = True
            await self._ports.close()
            await self._let_go_of_processes()

    async def close(self) -> None:
        """Let go of it; it lives on until its lifetime ends. Idempotent."""
        if self._closed:
            return
        await self._let_go_of_processes()
        while self._watches:
            await self._watches.pop().close()
        self._closed = True
        await self._ports.close()
        await self._lease.release()

    async def _let_go_of_processes(self) -> None:
        while self._processes:
            await self._processes.pop().close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            # A forked child that leaves the block must not end its parent's sandbox.
            if self._created and not self._closed and self._pid == os.getpid():
                await self._kill_at_exit(error)
        finally:
            await self.close()

    async def _kill_at_exit(self, error: BaseException | None) -> None:
        try:
            await self.kill()
        except SandboxError:
            if error is None:
                raise
            # What went wrong inside the block is what the caller must hear of.

    # -- commands -----------------------------------------------------------------------------

    async def run(
        self,
        cmd: str | Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: Stdin = None,
        timeout: Duration | None = None,
        check: bool = False,
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
        max_output: Size = "16MiB",
    ) -> CommandResult:
        """Run a command to its end. A non-zero exit is a result, not an error.

        Args:
            cmd: text for the shell (``bash -c``), or an argument list that no shell sees.
            cwd: where it runs; the sandbox's ``workdir`` if ``None``.
            env: on top of the sandbox's.
            user: who runs it.
            stdin: its input: text, bytes, a local file's `Path`, an open file, or chunks.
            timeout: after which it and all it started are killed; ``None`` is never.
            check: raise if it does not exit with 0.
            on_stdout: gets its output as decoded text while it runs; may be async.
            on_stderr: likewise.
            max_output: bytes kept of each stream, the last ones; the rest only reaches callbacks.

        Raises:
            CommandTimeoutError: the timeout ended it; `result` holds the partial output.
            CommandFailedError: `check` was asked for and it failed.
            ExecLostError: its end cannot be known any more.
            PathNotFoundError: `cwd` does not exist.
            InvalidRequestError: there is no such user, or an argument is wrong.
            SandboxNotFoundError: the sandbox has ended.
        """
        with self._located("run"):
            check_callbacks("run", on_stdout, on_stderr)
            request = run_request(self._info, cmd, cwd, env, user, timeout, bound=True)
            limit = parse_size(max_output, "max_output")
            if stdin is not None:
                await in_thread(check_source, stdin, "run")
            provider = self._use("run", "" if user is None else "users")
            result = await run_command(
                provider.start,
                request,
                stdin=stdin,
                max_output=limit,
                on_stdout=on_stdout,
                on_stderr=on_stderr,
            )
            return result.check() if check else result

    async def start(
        self,
        cmd: str | Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: bool = False,
        timeout: Duration | None = None,
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
        max_output: Size = "16MiB",
    ) -> AsyncProcess:
        """Start a command and return at once. It lives on when this client is gone.

        Args:
            cmd: text for the shell, or an argument list.
            cwd: where it runs.
            env: on top of the sandbox's.
            user: who runs it.
            stdin: whether it gets an input that `AsyncProcess.write` writes to.
            timeout: after which it and all it started are killed; ``None`` is never.
            on_stdout: gets its output as decoded text; may be async.
            on_stderr: likewise.
            max_output: bytes kept of each stream, the last ones.

        Raises:
            PathNotFoundError: `cwd` does not exist.
            InvalidRequestError: there is no such user, or an argument is wrong.
            SandboxNotFoundError: the sandbox has ended.
        """
        with self._located("start"):
            check_callbacks("start", on_stdout, on_stderr)
            request = run_request(self._info, cmd, cwd, env, user, timeout, bound=False)
            request = replace(request, stdin=stdin)
            limit = parse_size(max_output, "max_output")
            provider = self._use("start", "" if user is None else "users")
            stream = await provider.start(request)
        return self._followed(
            AsyncProcess(
                stream,
                request,
                provider=self.provider,
                max_output=limit,
                on_stdout=on_stdout,
                on_stderr=on_stderr,
            )
        )

    async def pty(
        self,
        cmd: str | Sequence[str] | None = None,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        size: TerminalSize | tuple[int, int] = (24, 80),
        timeout: Duration | None = None,
    ) -> AsyncProcess:
        """Start a command on a terminal, as for a person, and return at once.

        It lives on when this client is gone. All its output, errors too, is stdout's; what
        `AsyncProcess.write` sends is typed.

        Args:
            cmd: text for the shell, or an argument list; ``None`` is the shell itself, interactive.
            cwd: where it runs.
            env: on top of the sandbox's; ``TERM`` is ``xterm-256color`` if neither sets it.
            user: who runs it.
            size: rows and columns; `AsyncProcess.resize` changes it.
            timeout: after which it and all it started are killed; ``None`` is never.

        Raises:
            PathNotFoundError: `cwd` does not exist.
            InvalidRequestError: there is no such user, or an argument is wrong.
            UnsupportedError: the provider has no terminals.
            SandboxNotFoundError: the sandbox has ended.
        """
        with self._located("pty"):
            wanted = terminal_size(size, "pty")
            command = interactive_shell(self._info.shell) if cmd is None else cmd
            request = run_request(self._info, command, cwd, env, user, timeout, bound=False)
            request = replace(request, stdin=True, terminal=wanted)
            provider = self._use("pty", "terminals")
            if user is not None:
                self._use("pty", "users")
            stream = await provider.start(request)
        return self._followed(
            AsyncProcess(stream, request, provider=self.provider, max_output=16 << 20)
        )

    async def attach(
        self, pid: int, cursor: int | Cursor = 0, *, stdin: bool = False
    ) -> AsyncProcess:
        """Listen to a process that was started earlier, perhaps by another client.

        Args:
            pid: its number inside the sandbox.
            cursor: where in its output to begin; at most the last MiB of a stream is kept.
            stdin: take it over, too: its input and its terminal's size are no longer those of
                whoever had them.

        Raises:
            ProcessNotFoundError: there is none, or its record is no longer kept.
        """
        place = Cursor(cursor, cursor) if isinstance(cursor, int) else cursor
        provider = self._use("attach", "attach")
        stream = await provider.attach(
            AttachRequest(sandbox_id=self.id, pid=pid, cursor=place, own=stdin)
        )
        request = StartRequest(sandbox_id=self.id, command=f"process {pid}", bound=False)
        return self._followed(
            AsyncProcess(stream, request, provider=self.provider, max_output=16 << 20, cursor=place)
        )

    def _followed(self, process: AsyncProcess) -> AsyncProcess:
        self._processes.add(process)
        return process

    async def processes(self) -> builtins.list[ProcessInfo]:
        """What was started through sandboxkit and still runs or is remembered."""
        provider = self._use("processes", "attach")
        return [*await provider.list_processes(SandboxRequest(sandbox_id=self.id))]

    # -- code ---------------------------------------------------------------------------------

    async def run_code(
        self,
        code: str,
        *,
        language: str = "python",
        context: str | ContextInfo | None = None,
        env: Mapping[str, str] | None = None,
        timeout: Duration | None = None,
        check: bool = False,
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
        on_result: ResultCallback | None = None,
        on_error: ErrorCallback | None = None,
    ) -> Execution:
        """Run a cell of code; variables stay for the next one. An exception is a result.

        Args:
            code: what to run; the value of its last expression is the main result.
            language: such as ``python``.
            context: where; the language's default context if ``None``.
            env: set for this cell alone.
            timeout: after which it is interrupted, and if need be killed; ``None`` is never.
            check: raise if the code raised.
            on_stdout: gets what it prints as it does; may be async.
            on_stderr: likewise.
            on_result: gets each result as it comes.
            on_error: gets the error if it raises.

        Raises:
            CodeTimeoutError: the timeout ended it; says whether its variables are kept.
            CodeFailedError: `check` was asked for and it raised.
            UnsupportedError: the sandbox cannot run this language.
            ExecLostError: its end cannot be known any more.
        """
        with self._located("run_code"):
            check_callbacks("run_code", on_stdout, on_stderr, on_result, on_error)
            request = cell_request(self.id, "run_code", code, language, context, env, timeout)
            provider = self._use("run_code", "code")
            execution = await run_cell(
                provider.run_code,
                request,
                on_stdout=on_stdout,
                on_stderr=on_stderr,
                on_result=on_result,
                on_error=on_error,
            )
            return execution.check() if check else execution

    async def stream_code(
        self,
        code: str,
        *,
        language: str = "python",
        context: str | ContextInfo | None = None,
        env: Mapping[str, str] | None = None,
        timeout: Duration | None = None,
    ) -> AsyncIterator[OutputText | Result | CodeError | Execution]:
        """As `run_code`, but yield what happens, the `Execution` last; to leave is to interrupt."""
        with self._located("stream_code"):
            request = cell_request(self.id, "stream_code", code, language, context, env, timeout)
            run = self._use("stream_code", "code").run_code
            async with aclosing(stream_cell(run, request)) as events:
                async for event in events:
                    yield event

    # -- ports --------------------------------------------------------------------------------

    async def url(
        self,
        port: int,
        *,
        wait: Duration | None = "30s",
        scheme: Literal["http", "ws"] = "http",
    ) -> PortURL:
        """The URL of what listens at a port inside, which needs no network there.

        Without URLs of the provider's own it is that of a listener of this process, with an
        unguessable token in it. The listener ends with this object, and with this process.

        Args:
            port: 1 to 65,535.
            wait: how long to wait until something listens there; ``None`` is not at all.
            scheme: ``http``, or ``ws`` for clients that want it so.

        Raises:
            PortRefusedError: nothing listened there in time.
            UnsupportedError: the provider cannot reach ports.
            SandboxNotFoundError: the sandbox has ended.
        """
        with self._located("url"):
            return await self._ports.url(port, wait, scheme)

    async def forward(
        self, port: int, *, local_port: int = 0, host: str = "127.0.0.1"
    ) -> AsyncForward:
        """Forward a TCP port of this machine to one inside, for databases and the like.

        Every program that reaches the local port may use it: where HTTP is meant, `url` is safer.
        It ends with its ``close``, with this object, and with this process.

        Args:
            port: 1 to 65,535, inside; it need not be listened at yet.
            local_port: on this machine; 0 is any that is free.
            host: the address of this machine to listen at.

        Raises:
            InvalidRequestError: it is not possible to listen there.
            UnsupportedError: the provider cannot reach ports.
        """
        with self._located("forward"):
            return await self._ports.forward(port, local_port, host)

    # -- snapshots ----------------------------------------------------------------------------

    async def snapshot(
        self,
        name: str | None = None,
        *,
        kind: SnapshotKind = "filesystem",
        expires: Duration | None = None,
    ) -> AsyncSnapshot:
        """Save its state to create others from; it goes on running.

        Args:
            name: unique among yours; ``None`` is nameless.
            kind: ``filesystem``, or ``memory`` where the provider has that.
            expires: when the snapshot ends by itself; ``None`` is never.

        Raises:
            UnsupportedError: the provider has no snapshots, or not of this kind.
            InvalidRequestError: the name is taken, or none to call a snapshot by.
        """
        provider = self._use("snapshot", "snapshots")
        seconds = None if expires is None else parse_duration(expires, "expires")
        with self._located("snapshot"):
            check_kind(kind, "snapshot")
            check_snapshot_name(name)
            info = await provider.snapshot(
                SnapshotRequest(
                    sandbox_id=self.id,
                    name=name,
                    kind=kind,
                    lifetime=seconds,
                    labels=session_labels(self._session),
                )
            )
        return AsyncSnapshot(info, self._target)

    async def fork(
        self, n: int, *, kind: SnapshotKind = "filesystem", lifetime: Duration | None = "1h"
    ) -> builtins.list[AsyncSandbox]:
        """Make `n` sandboxes with the files of this one, all or none; this one goes on running.

        They are as independent as if each had been created, and have this one's environment,
        user, metadata, limits and network. ``with`` kills them as what `create` makes.

        Args:
            n: how many.
            kind: how deep their state goes: ``filesystem``, or ``memory`` where the provider has
                that.
            lifetime: of each; ``None`` is never.

        Raises:
            UnsupportedError: the provider cannot fork, or not to this depth.
            InvalidRequestError: `n` is not a number from 1 to 1,000; nothing was made.
            RateLimitError: there is no room for so many; nothing was made.
            SandboxPausedError: it is paused.
        """
        with self._located("fork"):
            request = fork_request(self.id, n, kind, lifetime, self._session)
            infos = await self._use("fork", "fork").fork(request)
        target, session = self._target, self._session
        return [
            AsyncSandbox(info, acquire(target), target, created=True, session=session)
            for info in infos
        ]

    # -- the gate -----------------------------------------------------------------------------

    def _located(self, op: str) -> AbstractContextManager[None]:
        return located(op=op, provider=self.provider, sandbox_id=self.id)

    def _use(self, op: str, capability: str) -> Provider:
        """The provider, if it is open and can do this."""
        with self._located(op):
            if self._killed:
                raise gate.killed(op, self.address)
            if self._closed:
                raise gate.closed(op, self.address)
            gate.require(self._lease.provider, op, capability)
        return self._lease.provider
