"""Every Python block in the documentation runs, as it stands, in a fresh interpreter."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from sandboxkit import errors

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKS = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")
BLOCK = re.compile(
    r"(?:<!-- not-run: (?P<reason>[^>]+?) -->\n)?^```python\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    page: str
    line: int
    code: str
    reason: str | None


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in BLOCK.finditer(text):
            line = text[: match.start("code")].count("\n") + 1
            name = str(page.relative_to(ROOT))
            found.append(Block(name, line, match["code"], match["reason"]))
    return found


NAMED = re.compile(r"# (conftest|test_\w+)\.py\n")

RUN = [block for block in blocks() if block.reason is None and not NAMED.match(block.code)]
TESTED = [block for block in blocks() if NAMED.match(block.code)]


@pytest.mark.parametrize("block", RUN, ids=lambda block: f"{block.page}:{block.line}")
def test_the_block_runs(block: Block, tmp_path: Path) -> None:
    # Lines as on the page, so that a traceback points there.
    program = tmp_path / "block.py"
    program.write_text("\n" * (block.line - 1) + block.code)
    clean = {name: value for name, value in os.environ.items() if name != "SANDBOXKIT_PROFILE"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=tmp_path,
        env={**clean, "XDG_CONFIG_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", sorted({block.page for block in TESTED}))
def test_the_tests_of_a_page_pass(page: str, tmp_path: Path) -> None:
    """Blocks that begin with a file's name are files of one run of pytest."""
    for block in TESTED:
        if block.page == page:
            (tmp_path / block.code.partition("\n")[0].removeprefix("# ")).write_text(block.code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout


CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def command_lines() -> list[tuple[str, str]]:
    """Every call of our program on every page, with the page."""
    found = []
    for page in PAGES:
        for block in CONSOLE.findall(page.read_text("utf-8")):
            for line in block.splitlines():
                if line.startswith("$ "):
                    calls = re.split(r"\bsandboxkit (?=[a-z-])", line[2:].split("  #")[0])[1:]
                    found += [(str(page.relative_to(ROOT)), call.strip()) for call in calls]
    return found


@pytest.mark.parametrize(("page", "call"), command_lines())
def test_commands_and_options_exist(page: str, call: str) -> None:
    import click

    from sandboxkit.cli.app import cli
    from sandboxkit_bench.command import bench

    command: click.Command = cli
    for word in shlex.split(call.rstrip(")"), comments=True):
        if word in ("--", "|", "&&", ";"):
            break
        if isinstance(command, click.Group) and not word.startswith("-"):
            assert word in command.commands, f"{page}: there is no {word!r} in {call!r}"
            command = command.commands[word]
            if word == "bench":  # hands over to a package of its own
                words = shlex.split(call, comments=True)
                command = bench.commands.get(words[1] if words[1:] else "", bench.commands["run"])
        elif word.startswith("-") and word != "-":
            known = {
                name
                for parameter in command.params
                for name in (*parameter.opts, *parameter.secondary_opts)
            }
            script = any(given.endswith(".py") for given in call.split(word)[0].split())
            assert script or word.partition("=")[0] in known, f"{page}: {word!r} in {call!r}"
    assert command is not cli


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    for page in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "internals").glob("*.md")]:
        name = str(page.relative_to(ROOT / "docs"))
        assert name == "README.md" or f"({name})" in index, name


def test_there_are_blocks() -> None:
    assert len(RUN) >= 12


def test_the_first_example_is_short() -> None:
    first = next(block for block in blocks() if block.page == "README.md")
    assert first.reason is None
    assert len(first.code.splitlines()) <= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINKS.findall(page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_error_is_on_its_page() -> None:
    text = (ROOT / "docs" / "errors.md").read_text("utf-8")
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.SandboxError):
            assert f" {name}" in text or text.count(name), name


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text("utf-8")
    for path in folder.glob("0*.md"):
        assert f"({path.name})" in index, path.name


def test_every_command_is_on_its_page() -> None:
    from sandboxkit.cli.app import cli

    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    for name in cli.commands:
        assert f"sandboxkit {name}" in text, name


def test_every_configurable_field_is_on_its_page() -> None:
    from sandboxkit.config.schema import ProfileFields, TemplateFields

    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    for name in (*ProfileFields.model_fields, *TemplateFields.model_fields):
        assert f"`{name}`" in text or f"\n{name} = " in text, name


def example_configuration() -> str:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    return text.partition("```toml\n")[2].partition("```")[0]


def test_the_example_configuration_is_valid(tmp_path: Path) -> None:
    from sandboxkit.config import load_config

    (tmp_path / "sandboxkit.toml").write_text(example_configuration())
    config = load_config(tmp_path)
    (problem,) = config.problems()
    assert "[profiles.prod]: provider 'acme' is not installed" in problem  # somebody's plugin
    profile = config.profile("prod")
    assert profile.provider == "acme"
    assert profile.defaults["env"] == {"TZ": "UTC"}
    assert config.template("python", "acme") == "tpl_9k2"


def test_the_example_configuration_works_as_pasted(tmp_path: Path) -> None:
    (tmp_path / "sandboxkit.toml").write_text(example_configuration())
    clean = {name: value for name, value in os.environ.items() if name != "SANDBOXKIT_PROFILE"}
    done = subprocess.run(
        [sys.executable, "-m", "sandboxkit.cli", "run", "--", "echo $TZ"],
        cwd=tmp_path,
        env={**clean, "XDG_CONFIG_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout) == (0, "UTC\n"), done.stderr
