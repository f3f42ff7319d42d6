"""The group of all commands, and how any of them may end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import click

from sandboxkit.errors import InvalidRequestError, SandboxError

from . import (
    bench,
    configuration,
    conformance,
    copy,
    create,
    demo,
    doctor,
    execute,
    logs,
    pausing,
    plan,
    ports,
    sandboxes,
    serve,
    shell,
    snapshots,
)
from .output import State, print_error, print_usage

__all__ = ["cli", "run"]

DEBUG = "SANDBOXKIT_DEBUG"
"""Set, it shows the traceback of what went wrong."""

USAGE, TIMEOUT, INTERRUPTED = 2, 124, 130


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # as they are registered: the common ones first

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # click's own cuts a sentence off where the line ends.
        rows = [(name, one.get_short_help_str(limit=1000)) for name, one in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sandboxkit-py", prog_name="sandboxkit")
def cli() -> None:
    """Computers you can throw away: create one, run things in it, kill it.

    ADDRESS is a sandbox's address (provider:id) or any unique beginning of it or of its id.
    """


for _command in (
    execute.run,
    create.create,
    plan.plan,
    execute.execute,
    shell.shell,
    logs.logs,
    sandboxes.ps,
    sandboxes.kill,
    pausing.pause,
    pausing.resume,
    sandboxes.reap,
    snapshots.snapshot,
    copy.cp,
    ports.port_forward,
    serve.serve,
    doctor.providers,
    doctor.doctor,
    configuration.config,
    conformance.conformance,
    bench.bench,
    demo.demo,
):
    cli.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Run a command line; returns the status to exit with."""
    state = State()
    try:
        # Not click's own main, which turns a closed pipe into an exit with 1.
        with cli.make_context("sandboxkit", list(arguments), obj=state) as ctx:
            status = cli.invoke(ctx)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        print_usage(error, state)
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (SandboxError, OSError) as error:
        if os.environ.get(DEBUG):
            raise
        print_error(error, state)
        return TIMEOUT if isinstance(error, TimeoutError) else 1
    except (ValueError, OverflowError) as error:
        # A value that no check of ours had foreseen.
        if os.environ.get(DEBUG):
            raise
        print_error(InvalidRequestError(" ".join(str(error).split())), state)
        return 1
    return status if isinstance(status, int) else 0
