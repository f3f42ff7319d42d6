"""``sandboxkit bench``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from .catalogue import CATALOGUE, chosen
from .compare import changes, condition, table_of
from .cost import estimate
from .page import page
from .results import Results, load, save
from .results import schema as schema_of
from .run import Progress, run
from .settings import Settings, data_environment, images, isolation_of, peers_python
from .tables import markdown

__all__ = ["main"]


@contextmanager
def progress() -> Iterator[Callable[[Progress], None]]:
    """A bar with the time that remains, on a terminal; else a line for each scenario."""
    if not sys.stderr.isatty():
        seen: set[str] = set()

        def line(one: Progress) -> None:
            if one.scenario not in seen:
                seen.add(one.scenario)
                click.echo(f"{one.left:4.0f} s left: {one.scenario}", err=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TextColumn("{task.fields[left]} left  {task.description}"))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0, left="")

        def tell(one: Progress) -> None:
            left = f"{one.left // 60:.0f}:{one.left % 60:02.0f}"
            bar.update(task, completed=one.share, description=one.scenario, left=left)

        yield tell


def write(results: Results, output: Path) -> list[Path]:
    """Write the report in all its forms; the files."""
    output.mkdir(parents=True, exist_ok=True)
    raw, text, html = (output / name for name in ("results.json.gz", "report.md", "report.html"))
    save(results, raw)
    text.write_text(markdown(results), "utf-8")
    html.write_text(page(results), "utf-8")
    return [raw, text, html]


class _Group(click.Group):
    """Without a command of its own it runs the benchmark."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure providers, beside others that do the same work, so that the figures can be believed.

    `sandboxkit bench PROFILE...` is `sandboxkit bench run PROFILE...`.
    """


@bench.command(name="list")
def names() -> None:
    """Name the scenarios."""
    for one in CATALOGUE:
        click.echo(f"{one.key:10} {one.seconds:4.0f} s  {one.title}")


@bench.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", metavar="DIRECTORY", type=click.Path(file_okay=False, path_type=Path),
              help="Write report.md and report.html there; else the table is printed.")  # fmt: skip
def report(file: Path, output: Path | None) -> None:
    """Make the report of a run again, from its FILE of raw results."""
    results = load(file)
    if output is None:
        click.echo(markdown(results))
    else:
        write(results, output)


@bench.command()
@click.argument("base", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("head", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--fail-if", metavar="CONDITION", help="Such as 'ratio_low > 1.05 or failures > 0'.")
@click.option("--ours", is_flag=True, help="Only sandboxkit's own lines.")
def compare(base: Path, head: Path, fail_if: str | None, ours: bool) -> int:
    """Compare two runs of the same machine; ends with 1 if the condition holds for any case."""
    fails = condition(fail_if) if fail_if is not None else None
    found = changes(load(base), load(head))
    if ours:
        found = [one for one in found if one.contender.startswith("sandboxkit ")]
    click.echo("\n".join(table_of(found)))
    if fails is None:
        return 0
    failed = [one for one in found if fails(one)]
    for one in failed:
        click.echo(f"{fail_if} holds: {one.scenario}, {one.contender}", err=True)
    return 1 if failed or not found else 0


@bench.command()
def schema() -> None:
    """Print the form of the raw results, as a JSON Schema."""
    click.echo(json.dumps(schema_of(), indent=2))


@bench.command(name="run")
@click.argument("profile", nargs=-1)
@click.option("--only", metavar="SCENARIO", multiple=True, help="Only this scenario.")
@click.option("--scale", type=click.FloatRange(0.01, 100), default=1.0, show_default=True,
              help="Run so many times as long.")  # fmt: skip
@click.option("--output", metavar="DIRECTORY", default="bench", show_default=True,
              type=click.Path(file_okay=False, path_type=Path),
              help="Where the report goes.")  # fmt: skip
@click.option("--seed", type=int, help="Of everything that is drawn.")
@click.option("--data", metavar="VENV", help="A virtual environment with numpy and pandas.")
@click.option("--peers", metavar="PYTHON",
              help="That has other libraries for sandboxes; or its environment.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask before sandboxes are paid for.")
@click.option("--price", type=click.FloatRange(0), help="Of an hour of a remote sandbox.")
@click.option("--no-baselines", is_flag=True, help="Measure the profiles alone.")
def measure(
    profile: tuple[str, ...],
    only: tuple[str, ...],
    scale: float,
    output: Path,
    seed: int | None,
    data: str | None,
    peers: str | None,
    yes: bool,
    price: float | None,
    no_baselines: bool,
) -> None:
    """Measure PROFILEs (local by default); the first is the one that all else is compared with."""
    for name in profile:
        isolation_of(name)  # a name that is wrong ends it here
    image, data_image = images()
    scenarios = [one.scaled(scale) for one in chosen(only)]
    settings = Settings(
        profile or ("local",),
        data_environment(data),
        image,
        data_image,
        baselines=not no_baselines,
        peers=peers_python(peers),
    )
    asked = estimate(scenarios, settings)
    if asked is not None:
        click.echo(asked.says(price), err=True)
        if not yes:
            click.confirm("Go on?", abort=True, err=True)
    with progress() as show:
        results = run(scenarios, settings, seed=seed, show=show)
    written = write(results, output)
    click.echo(written[1].read_text("utf-8"))
    for path in written:
        click.echo(f"wrote {path}", err=True)


def main(arguments: Sequence[str]) -> int:
    """Run a command line; the status to end with."""
    status = bench.main(list(arguments), "sandboxkit bench", standalone_mode=False)
    return status if isinstance(status, int) else 0
