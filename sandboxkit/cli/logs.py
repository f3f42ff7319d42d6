"""``logs``: what a process that was started earlier has written."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sandboxkit.errors import ProcessNotFoundError

from .addresses import open_sandbox
from .options import profile_option
from .output import State, age, json_option, print_json, print_table
from .streaming import write_chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sandboxkit import OutputChunk, Process, ProcessInfo, Sandbox

__all__ = ["logs"]


@click.command()
@profile_option
@click.option("-f", "--follow", is_flag=True, help="Go on until it ends.")
@json_option
@click.argument("address")
@click.argument("pid", type=click.IntRange(1), required=False)
@click.pass_context
def logs(
    ctx: click.Context, /, address: str, pid: int | None, profile: str | None, follow: bool
) -> None:
    """Show what a process of a sandbox has written: the last MiB of each stream is kept.

    Without PID that of the only one there is, else a list of them all.
    """
    with open_sandbox(address, profile) as sandbox:
        processes = sandbox.processes()
        as_json = ctx.ensure_object(State).json
        if pid is None and (as_json or len(processes) != 1):
            _list(processes, as_json=as_json)
            return
        chosen = [one for one in processes if pid is None or one.pid == pid]
        if not chosen:
            raise ProcessNotFoundError(
                f"no process {pid} is running or remembered in {sandbox.address}",
                hint=f"sandboxkit logs {sandbox.address}",
            )
        if as_json:
            _print_object(sandbox, chosen[0])
        else:
            _print(sandbox, chosen[0], follow=follow)


def _list(processes: Sequence[ProcessInfo], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(one) for one in processes])
        return
    if not processes:
        click.echo("no process was started in it, or none is remembered", err=True)
        return
    print_table(
        ("PID", "STATE", "TERMINAL", "AGE", "COMMAND"),
        [
            (
                str(one.pid),
                "running" if one.running else f"exited {one.exit_code}",
                "yes" if one.terminal else "",
                age(one.started_at),
                " ".join(one.command.split()),
            )
            for one in processes
        ],
    )


def _print(sandbox: Sandbox, info: ProcessInfo, *, follow: bool) -> None:
    with sandbox.attach(info.pid) as process:
        for chunk in process if follow else _written(process, info):
            write_chunk(chunk)


def _print_object(sandbox: Sandbox, info: ProcessInfo) -> None:
    kept = {"stdout": b"", "stderr": b""}
    with sandbox.attach(info.pid) as process:
        for chunk in _written(process, info):
            kept[chunk.stream] += chunk.data
    print_json({**asdict(info), **kept})


def _written(process: Process, info: ProcessInfo) -> Iterator[OutputChunk]:
    """What is kept of what it had written by the time of `info`; it may run on for long."""
    totals = {"stdout": info.stdout_total, "stderr": info.stderr_total}
    missing = {name for name, total in totals.items() if total != 0}
    if not missing:
        return
    for chunk in process:
        yield chunk
        total = totals[chunk.stream]
        if total is not None and chunk.offset + len(chunk.data) >= total:
            missing.discard(chunk.stream)
        if not missing:
            return
