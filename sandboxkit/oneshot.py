"""One command or one cell in a fresh sandbox, and nothing left of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import listing
from .models import CommandResult, Execution
from .portal import call
from .stdin import Stdin
from .sync import Sandbox
from .units import Duration

__all__ = ["reap", "run", "run_code"]


def run(
    cmd: str | Sequence[str],
    *,
    profile: str | None = None,
    files: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Stdin = None,
    timeout: Duration | None = None,
    check: bool = False,
    **create: Any,
) -> CommandResult:
    """Run one command in a fresh sandbox, which is killed afterwards.

    Args:
        cmd: text for the shell, or an argument list.
        profile: ``None`` is the configured default.
        files: written before it runs.
        env: set for it.
        stdin: its input.
        timeout: after which it is killed.
        check: raise if it does not exit with 0.
        create: further arguments of `Sandbox.create`.

    Raises:
        CommandTimeoutError: the timeout ended it.
        CommandFailedError: `check` was asked for and it failed.
    """
    with Sandbox.create(profile, files=files, env=env, **create) as sandbox:
        return sandbox.run(cmd, stdin=stdin, timeout=timeout, check=check)


def run_code(
    code: str,
    *,
    language: str = "python",
    profile: str | None = None,
    files: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: Duration | None = None,
    check: bool = False,
    **create: Any,
) -> Execution:
    """Run one cell of code in a fresh sandbox, which is killed afterwards.

    Args:
        code: what to run.
        language: such as ``python``.
        profile: ``None`` is the configured default.
        files: written before it runs.
        env: set for it.
        timeout: after which it is interrupted.
        check: raise if it raised.
        create: further arguments of `Sandbox.create`.

    Raises:
        CodeTimeoutError: the timeout ended it.
        CodeFailedError: `check` was asked for and it raised.
    """
    with Sandbox.create(profile, files=files, env=env, **create) as sandbox:
        return sandbox.run_code(code, language=language, timeout=timeout, check=check)


def reap(profile: str | None = None, *, dry_run: bool = True) -> list[str]:
    """End what is yours and past its time; see `listing.reap`.

    Args:
        profile: ``None`` is the configured default.
        dry_run: only say what would end.

    Returns:
        The addresses of what was ended, or would be.
    """
    return call(listing.reap, profile, dry_run=dry_run)
