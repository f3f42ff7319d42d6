"""The blocking facade: every name, signature and docstring as in `sandbox`, nothing of its own."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Never, Self

from . import creation
from .capabilities import Capabilities
from .cells import ErrorCallback, ResultCallback
from .models import (
    CodeError,
    CommandResult,
    ContextInfo,
    Cursor,
    Execution,
    OutputChunk,
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
from .portal import call, iterate
from .process import AsyncProcess
from .provider import PortURL
from .resolve import UNSET, Unset
from .sandbox import AsyncSandbox
from .spec import NetworkPolicy, Resources
from .stdin import Stdin
from .sync_parts import Contexts, Files, Forward, Snapshot, documented_by, off_loop
from .template import Template
from .units import Duration, Size

__all__ = ["Process", "Sandbox"]


@documented_by(AsyncProcess)
class Process:
    def __init__(self, process: AsyncProcess) -> None:
        self._process = process
        self.pid = process.pid

    @property
    def cursor(self) -> Cursor:
        return self._process.cursor

    def __iter__(self) -> Iterator[OutputChunk]:
        return iterate(self._process.__aiter__())

    def wait(self, timeout: Duration | None = None) -> CommandResult:
        return call(self._process.wait, timeout)

    def write(self, data: bytes | str) -> None:
        call(self._process.write, data)

    def close_stdin(self) -> None:
        call(self._process.close_stdin)

    def resize(self, rows: int, columns: int) -> None:
        call(self._process.resize, rows, columns)

    def signal(self, signum: int) -> None:
        call(self._process.signal, signum)

    def interrupt(self) -> None:
        call(self._process.interrupt)

    def kill(self, grace: float = 0.5) -> None:
        call(self._process.kill, grace)

    def close(self) -> None:
        call(self._process.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@documented_by(AsyncSandbox)
class Sandbox:
    def __init__(self, sandbox: AsyncSandbox) -> None:
        self._sandbox = sandbox
        self.files = Files(sandbox.files)
        self.contexts = Contexts(sandbox.contexts)

    def __repr__(self) -> str:
        return f"<Sandbox {self.address}>"

    @classmethod
    def create(
        cls,
        profile: str | None = None,
        *,
        template: str | Template | None = None,
        image: str | None = None,
        snapshot: str | SnapshotInfo | Snapshot | None = None,
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
    ) -> Self:
        arguments = dict(locals())
        for name in ("cls", "profile", "unknown"):
            arguments.pop(name)

        made: builtins.list[AsyncSandbox] = []
        arguments |= unknown
        # In this thread, which waits in any case.
        checked = creation.spec_and_target(profile, arguments)

        async def creating() -> None:
            info, lease, chosen, spec = await creation.create(profile, arguments, checked)
            made.append(AsyncSandbox(info, lease, chosen, created=True, session=spec.session))

        try:
            call(creating)
        except BaseException:
            if made:  # Ctrl-C came as it was handed over: nobody would know of it
                call(made[0].__aexit__, None, None, None)
            raise
        return cls(made[0])

    @classmethod
    def connect(cls, address: str, *, profile: str | None = None, resume: bool = True) -> Self:
        return cls(call(AsyncSandbox.connect, address, profile=profile, resume=resume))

    @classmethod
    def list(
        cls,
        profile: str | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        session: str | None = None,
        state: SandboxState | None = None,
    ) -> builtins.list[SandboxInfo]:
        return call(AsyncSandbox.list, profile, metadata=metadata, session=session, state=state)

    @classmethod
    def snapshots(cls, profile: str | None = None) -> builtins.list[Snapshot]:
        return [Snapshot(one) for one in call(AsyncSandbox.snapshots, profile)]

    @classmethod
    def plan(cls, profile: str | None = None, **arguments: Any) -> Plan:
        return AsyncSandbox.plan(profile, **arguments)

    @property
    def id(self) -> str:
        return self._sandbox.id

    @property
    def address(self) -> str:
        return self._sandbox.address

    @property
    def provider(self) -> str:
        return self._sandbox.provider

    @property
    def capabilities(self) -> Capabilities:
        return self._sandbox.capabilities

    @property
    def emulated(self) -> frozenset[str]:
        return self._sandbox.emulated

    @property
    def native(self) -> object:
        return self._sandbox.native

    def info(self) -> SandboxInfo:
        return call(self._sandbox.info)

    def metrics(self) -> SandboxMetrics:
        return call(self._sandbox.metrics)

    def is_running(self) -> bool:
        return call(self._sandbox.is_running)

    def set_lifetime(self, lifetime: Duration | None) -> SandboxInfo:
        return call(self._sandbox.set_lifetime, lifetime)

    def pause(self, lifetime: Duration | Unset | None = UNSET) -> SandboxInfo:
        return call(self._sandbox.pause, lifetime)

    def resume(self) -> SandboxInfo:
        return call(self._sandbox.resume)

    def kill(self) -> bool:
        return call(self._sandbox.kill)

    def close(self) -> None:
        call(self._sandbox.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        call(self._sandbox.__aexit__, kind, error, traceback)

    def run(
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
        return call(
            self._sandbox.run,
            cmd,
            cwd=cwd,
            env=env,
            user=user,
            stdin=stdin,
            timeout=timeout,
            check=check,
            on_stdout=off_loop(on_stdout),
            on_stderr=off_loop(on_stderr),
            max_output=max_output,
        )

    def start(
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
    ) -> Process:
        return Process(
            call(
                self._sandbox.start,
                cmd,
                cwd=cwd,
                env=env,
                user=user,
                stdin=stdin,
                timeout=timeout,
                on_stdout=off_loop(on_stdout),
                on_stderr=off_loop(on_stderr),
                max_output=max_output,
            )
        )

    def pty(
        self,
        cmd: str | Sequence[str] | None = None,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        size: TerminalSize | tuple[int, int] = (24, 80),
        timeout: Duration | None = None,
    ) -> Process:
        return Process(
            call(self._sandbox.pty, cmd, cwd=cwd, env=env, user=user, size=size, timeout=timeout)
        )

    def attach(self, pid: int, cursor: int | Cursor = 0, *, stdin: bool = False) -> Process:
        return Process(call(self._sandbox.attach, pid, cursor, stdin=stdin))

    def processes(self) -> builtins.list[ProcessInfo]:
        return call(self._sandbox.processes)

    def run_code(
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
        return call(
            self._sandbox.run_code,
            code,
            language=language,
            context=context,
            env=env,
            timeout=timeout,
            check=check,
            on_stdout=off_loop(on_stdout),
            on_stderr=off_loop(on_stderr),
            on_result=off_loop(on_result),
            on_error=off_loop(on_error),
        )

    def stream_code(
        self,
        code: str,
        *,
        language: str = "python",
        context: str | ContextInfo | None = None,
        env: Mapping[str, str] | None = None,
        timeout: Duration | None = None,
    ) -> Iterator[OutputText | Result | CodeError | Execution]:
        return iterate(
            self._sandbox.stream_code(
                code, language=language, context=context, env=env, timeout=timeout
            )
        )

    def url(
        self,
        port: int,
        *,
        wait: Duration | None = "30s",
        scheme: Literal["http", "ws"] = "http",
    ) -> PortURL:
        return call(self._sandbox.url, port, wait=wait, scheme=scheme)

    def forward(self, port: int, *, local_port: int = 0, host: str = "127.0.0.1") -> Forward:
        return Forward(call(self._sandbox.forward, port, local_port=local_port, host=host))

    def snapshot(
        self,
        name: str | None = None,
        *,
        kind: SnapshotKind = "filesystem",
        expires: Duration | None = None,
    ) -> Snapshot:
        return Snapshot(call(self._sandbox.snapshot, name, kind=kind, expires=expires))

    def fork(
        self, n: int, *, kind: SnapshotKind = "filesystem", lifetime: Duration | None = "1h"
    ) -> builtins.list[Sandbox]:
        made: builtins.list[AsyncSandbox] = []

        async def forking() -> None:
            made.extend(await self._sandbox.fork(n, kind=kind, lifetime=lifetime))

        try:
            call(forking)
        except BaseException:
            for one in made:  # Ctrl-C came as they were handed over: nobody would know of them
                call(one.__aexit__, None, None, None)
            raise
        return [Sandbox(one) for one in made]
