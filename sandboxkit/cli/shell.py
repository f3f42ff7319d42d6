"""``shell``: a terminal in a sandbox, for a person."""

from __future__ import annotations

import asyncio
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from sandboxkit.errors import InvalidRequestError, SandboxNotFoundError, UnsupportedError
from sandboxkit.threads import in_thread

from .addresses import check_address, find, open_sandbox
from .options import create_options, environment, sandbox_arguments
from .output import json_option, waiting
from .streaming import command_of, run_streaming

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandboxkit import AsyncProcess, AsyncSandbox, Sandbox

__all__ = ["shell"]

_OF_ANY = {"profile", "env", "user", "workdir", "attach", "key", "json", "address"}
"""The parameters that mean something in a sandbox that is there; the others say what to create."""


class _WithCommand(click.Command):
    """A command whose own words end at ``--``; what follows is another's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        ctx.meta["command"] = tuple(args[end + 1 :])
        return super().parse_args(ctx, args[:end])


def detach_key(text: str) -> bytes | None:
    """A key with Ctrl, as ``ctrl-]`` or ``^]``; ``none`` is none.

    Raises:
        click.BadParameter: it is something else.
    """
    if text == "none":
        return None
    key = text.lower().removeprefix("ctrl-").removeprefix("^")
    if len(key) != 1 or key == text or not "@" <= key.upper() <= "_":
        raise click.BadParameter(f"{text!r} is not ctrl- and a letter or one of @[\\]^_, nor none")
    return bytes([ord(key.upper()) & 0x1F])


@dataclass(frozen=True, slots=True)
class _Wish:
    """What was asked for, beyond which sandbox."""

    command: str | list[str] | None
    env: dict[str, str]
    user: str | None
    cwd: str | None
    attach: int | None
    key: bytes | None
    again: str


@click.command(cls=_WithCommand)
@create_options
@click.option("--attach", type=click.IntRange(1), metavar="PID", help="Return to a terminal left.")
@click.option(
    "--detach-key",
    "key",
    type=detach_key,
    default="ctrl-]",
    show_default=True,
    metavar="KEY",
    help="Leaves the shell, which goes on: ctrl-X, or none.",
)
@json_option
@click.argument("address", required=False)
@click.pass_context
def shell(
    ctx: click.Context,
    /,
    address: str | None,
    attach: int | None,
    key: bytes | None,
    **given: Any,
) -> int:
    """Be at a terminal in a sandbox: `sandboxkit shell [ADDRESS] [-- CMD ARG...]`.

    Without ADDRESS in a fresh one, which ends with the shell. Without CMD it is the sandbox's
    shell. Exits as it does. If standard input is no terminal, the shell gets it as it is, and no
    terminal, as with ssh. With --json only what goes wrong is JSON.
    """
    command: tuple[str, ...] = ctx.meta["command"]
    if address is not None:
        _refuse_creation(ctx)
    _check_return(attach, address, bool(command))
    profile = given["profile"]
    wish = _Wish(
        command_of(command) if command else None,
        environment(given["env"]) if address is not None else {},
        given["user"] if address is not None else None,
        given["workdir"] if address is not None else None,
        attach,
        key,
        f" -p {shlex.quote(profile)}" if profile else "",
    )
    fresh = None if address is not None else sandbox_arguments(given)
    if sys.stdin.isatty():
        return asyncio.run(_at_terminal(address, profile, fresh, wish))
    return _without_terminal(address, profile, fresh, wish)


def _refuse_creation(ctx: click.Context) -> None:
    for parameter in ctx.command.params:
        name = parameter.name or ""
        given = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if given and name not in _OF_ANY:
            raise click.UsageError(
                f"{parameter.opts[-1]} is for a fresh sandbox; leave out ADDRESS"
            )


def _check_return(attach: int | None, address: str | None, command: bool) -> None:
    if attach is None:
        return
    if address is None or command:
        raise click.UsageError("--attach PID goes with an ADDRESS, and with no command")
    if not sys.stdin.isatty():
        raise click.UsageError("--attach needs a terminal here; `sandboxkit logs` shows output")


# -- at a terminal --------------------------------------------------------------------------------


async def _at_terminal(
    address: str | None, profile: str | None, fresh: dict[str, Any] | None, wish: _Wish
) -> int:
    if fresh is None:
        assert address is not None
        sandbox = await _connected(address, profile)
        async with sandbox:
            return await _sit(sandbox, wish, kept=False)
    from sandboxkit import AsyncSandbox

    profile = fresh.pop("profile", None)
    _check_terminals(profile)
    with waiting("creating a sandbox"):
        sandbox = await AsyncSandbox.create(profile, **fresh)
    async with sandbox:
        return await _sit(sandbox, wish, kept=True)


async def _connected(text: str, profile: str | None) -> AsyncSandbox:
    from sandboxkit import AsyncSandbox

    check_address(text)
    if text.partition(":")[2]:
        try:
            return await AsyncSandbox.connect(text, profile=profile)
        except SandboxNotFoundError:
            pass  # it may be the beginning of an address
    name, info = await in_thread(find, text, profile)
    return await AsyncSandbox.connect(info.address, profile=name)


def _check_terminals(profile: str | None) -> None:
    """See that the provider has terminals before anything is created.

    Raises:
        UnsupportedError: it has none.
    """
    from sandboxkit.plugins import provider_info
    from sandboxkit.resolve import target

    provider = target(profile).provider
    if not provider_info(provider).capabilities.terminals:
        raise UnsupportedError(
            f"provider {provider!r} has no terminals",
            capability="terminals",
            provider=provider,
            hint="sandboxkit run -- CMD",
        )


async def _sit(sandbox: AsyncSandbox, wish: _Wish, *, kept: bool) -> int:
    """One sitting; with `kept` a fresh sandbox lives on if it was left by the key."""
    from .local_terminal import local_size
    from .terminal_session import STDIN, TerminalSession

    written = None
    if wish.attach is not None:
        process, written = await _returned(sandbox, wish.attach)
    else:
        process = await sandbox.pty(
            wish.command, cwd=wish.cwd, env=wish.env, user=wish.user, size=local_size(STDIN)
        )
    code = await TerminalSession(process, detach_key=wish.key, written=written).run()
    if code is not None:
        return code
    click.echo(f"left process {process.pid}, which goes on", err=True)
    back = f"sandboxkit shell{wish.again} {sandbox.address} --attach {process.pid}"
    click.echo(f"  to return: {back}", err=True)
    if kept:
        click.echo(f"  to end it all: sandboxkit kill{wish.again} {sandbox.address}", err=True)
        await sandbox.close()
    return 0


async def _returned(sandbox: AsyncSandbox, pid: int) -> tuple[AsyncProcess, int]:
    """A process that is on a terminal, and how much it had written."""
    for info in await sandbox.processes():
        if info.pid == pid and not info.terminal:
            raise InvalidRequestError(
                f"process {pid} has no terminal", hint=f"sandboxkit logs {sandbox.address} {pid}"
            )
        if info.pid == pid:
            return await sandbox.attach(pid, stdin=True), info.stdout_total or 0
    return await sandbox.attach(pid, stdin=True), 0  # which says that there is none


# -- with something else as input -----------------------------------------------------------------


def _without_terminal(
    address: str | None, profile: str | None, fresh: dict[str, Any] | None, wish: _Wish
) -> int:
    if fresh is None:
        assert address is not None
        with open_sandbox(address, profile) as sandbox:
            options = {"env": wish.env, "user": wish.user, "cwd": wish.cwd}
            return run_streaming(sandbox, _command(sandbox, wish), stdin=True, **options)
    from sandboxkit import Sandbox

    with waiting("creating a sandbox"):
        sandbox = Sandbox.create(fresh.pop("profile", None), **fresh)
    with sandbox:
        return run_streaming(sandbox, _command(sandbox, wish), stdin=True)


def _command(sandbox: Sandbox, wish: _Wish) -> str | Sequence[str]:
    from sandboxkit.terminals import interactive_shell

    return interactive_shell(sandbox.info().shell) if wish.command is None else wish.command
