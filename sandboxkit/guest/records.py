"""What the guest says of files, processes and contexts, checked and as the records of `models`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeGuard, get_args

from ..errors import ProtocolError
from ..models import ContextInfo, FileInfo, FileType, ProcessInfo, SandboxInfo, SandboxMetrics
from .fields import Fields, boolean, integer, items, number, text

__all__ = ["context", "contexts", "file_info", "introduced", "metrics", "processes"]

MAX_MODE = 0o7777
MAX_TEXT = 4096

_TYPES: dict[str, FileType] = {name: name for name in get_args(FileType)}


def file_info(fields: Fields) -> FileInfo:
    """What the guest says about one file.

    Raises:
        ProtocolError: it does not say it as the protocol wants.
    """
    kind = _TYPES.get(text(fields, "type"))
    if kind is None:
        raise ProtocolError(f"the guest sent a file of type {fields['type']!r:.80}")
    target = fields.get("target")
    return FileInfo(
        path=text(fields, "path"),
        type=kind,
        size=integer(fields, "size"),
        mode=integer(fields, "mode", 0, MAX_MODE),
        owner=text(fields, "owner"),
        group=text(fields, "group"),
        modified_at=_time(fields, "mtime"),
        target=None if target is None else text(fields, "target"),
    )


def processes(result: Fields) -> list[ProcessInfo]:
    """The RESULT of ``processes``.

    Raises:
        ProtocolError: it does not say it as the protocol wants.
    """
    return [_process(fields) for fields in items(result, "processes")]


def contexts(result: Fields) -> list[ContextInfo]:
    """The RESULT of ``list_contexts``.

    Raises:
        ProtocolError: it does not say it as the protocol wants.
    """
    return [context(fields) for fields in items(result, "contexts")]


def context(fields: Fields) -> ContextInfo:
    """What the guest says about one context.

    Raises:
        ProtocolError: it does not say it as the protocol wants.
    """
    return ContextInfo(text(fields, "id"), text(fields, "language"), text(fields, "cwd"))


def introduced(info: SandboxInfo, sandbox: Fields) -> SandboxInfo:
    """What the provider knows of a sandbox, with what its guest said in its greeting."""
    said = (sandbox.get(name) for name in ("workdir", "user", "shell", "python"))
    workdir, user, shell, python = said
    return replace(
        info,
        workdir=workdir if _sane(workdir) and workdir.startswith("/") else info.workdir,
        user=user if _sane(user) else info.user,
        shell=shell if _sane(shell) else info.shell,
        python=python if _sane(python) else info.python,
    )


def metrics(result: Fields) -> SandboxMetrics:
    """The RESULT of ``metrics``, without what only the machine's owner knows.

    Raises:
        ProtocolError: it does not say it as the protocol wants.
    """
    return SandboxMetrics(
        at=datetime.now(UTC),
        cpu_seconds=number(result, "cpu_seconds"),
        memory_used=integer(result, "memory_used"),
        disk_used=integer(result, "disk_used"),
        disk_limit=integer(result, "disk_size"),
        processes=integer(result, "processes"),
    )


def _process(fields: Fields) -> ProcessInfo:
    running = boolean(fields, "running")
    code = None
    if not running and fields.get("code") is not None:
        code = integer(fields, "code", 0, 255)
    elif not running:
        code = 128 + integer(fields, "signal", 1, 64)
    return ProcessInfo(
        pid=integer(fields, "pid", 1),
        command=text(fields, "label"),
        running=running,
        exit_code=code,
        started_at=_time(fields, "started"),
        terminal=boolean(fields, "terminal"),
        stdout_total=_total(fields, "stdout"),
        stderr_total=_total(fields, "stderr"),
    )


def _total(fields: Fields, name: str) -> int | None:
    return None if fields.get(name) is None else integer(fields, name)


def _time(fields: Fields, name: str) -> datetime:
    try:
        return datetime.fromtimestamp(number(fields, name), UTC)
    except (ValueError, OverflowError, OSError):
        # A file may carry any time at all; one beyond the year 9999 is no reason to fail.
        return datetime.max.replace(tzinfo=UTC)


def _sane(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT
