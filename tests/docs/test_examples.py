"""Every Python block in the documentation runs, as it stands, in a fresh interpreter."""

from __future__ import annotations

import os
import re
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


RUN = [block for block in blocks() if block.reason is None]


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
    assert config.problems() == []
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
