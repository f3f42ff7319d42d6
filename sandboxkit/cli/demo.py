"""``demo``: the whole of it once, each step with its time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from .options import profile_option
from .output import State, json_option, print_json, waiting

if TYPE_CHECKING:
    from sandboxkit import Sandbox

__all__ = ["demo"]

_T = TypeVar("_T")


class _Steps:
    """Runs steps and tells each one's time."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self.seconds: dict[str, float] = {}

    def __call__(self, what: str, action: Callable[[], _T]) -> _T:
        began = time.perf_counter()
        with waiting(what):
            value = action()
        taken = self.seconds[what] = time.perf_counter() - began
        self.say(f"{taken * 1000:9.1f} ms  {what}")
        return value

    def say(self, text: str) -> None:
        if not self._quiet:
            click.echo(text)


@click.command()
@profile_option
@json_option
@click.pass_context
def demo(ctx: click.Context, profile: str | None) -> None:
    """Create a sandbox, use it, snapshot it, restore it, kill both, and show the times."""
    from sandboxkit import Sandbox

    step = _Steps(quiet=ctx.ensure_object(State).json)
    first = step(
        "create the first sandbox (this may start a daemon and warm a template)",
        lambda: Sandbox.create(profile),
    )
    with first:
        info = first.info()
        step.say(f"              {first.address}: isolation {info.isolation}")
        _use(step, first)
        saved = step("snapshot it", lambda: first.snapshot())
    try:
        _restore(step, profile, saved.address)
    finally:
        step("delete the snapshot", saved.delete)
    _warm(step, profile)
    if ctx.ensure_object(State).json:
        seconds = {name: round(taken, 6) for name, taken in step.seconds.items()}
        print_json({"provider": info.provider, "isolation": info.isolation, "seconds": seconds})


def _use(step: _Steps, sandbox: Sandbox) -> None:
    result = step("run a command: uname -sr; id -un", lambda: sandbox.run("uname -sr; id -un"))
    step.say("              " + ", ".join(result.check().stdout.split("\n")).rstrip(", "))
    if sandbox.capabilities.code:
        done = step("run Python code: 6 * 7", lambda: sandbox.run_code("6 * 7")).check()
        step.say(f"              {done.text}")
    step("write a file", lambda: sandbox.files.write("data.csv", "a,b\n1,2\n"))
    text = step("read it back", lambda: sandbox.files.read_text("data.csv"))
    step.say(f"              {text!r}")


def _restore(step: _Steps, profile: str | None, snapshot: str) -> None:
    from sandboxkit import Sandbox

    copy = step(
        "create a second one from the snapshot",
        lambda: Sandbox.create(profile, snapshot=snapshot),
    )
    with copy:
        text = step("read the file there", lambda: copy.files.read_text("data.csv"))
        step.say(f"              {text!r}")
        step("kill it", copy.kill)


def _warm(step: _Steps, profile: str | None) -> None:
    """What a sandbox costs when nothing has to be started first."""
    from sandboxkit import Sandbox

    arrived: list[float] = []

    def note(_: str) -> None:
        arrived.append(time.perf_counter())

    began = time.perf_counter()
    with Sandbox.create(profile) as sandbox:
        if sandbox.capabilities.code:
            sandbox.run_code("print(1 + 1)", on_stdout=note).check()
        else:
            sandbox.run("echo 2", on_stdout=note).check()
    taken = step.seconds["create to first output"] = arrived[0] - began
    step.say(f"{taken * 1000:9.1f} ms  create to first output, everything warm")
