"""The author's guide, followed to the letter from an empty virtual environment."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "writing-a-provider.md"
BLOCK = re.compile(r"^```(\w+)(?: (\w+)=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with sandboxkit as a checkout installs it, and nothing else."""
    where = tmp_path_factory.mktemp("empty") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(where)], check=True)
    pip = [
        str(where / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
    ]
    subprocess.run([*pip, "--upgrade", "pip"], check=True)
    subprocess.run([*pip, f"{ROOT}[conformance]", "hatchling", "editables"], check=True)
    return where


@pytest.mark.timeout(600)
def test_from_an_empty_folder_to_a_green_report(environment: Path, tmp_path: Path) -> None:
    verdicts = []
    for language, attribute, value, text in BLOCK.findall(GUIDE.read_text("utf-8")):
        if attribute == "title":
            target = tmp_path / value
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        elif attribute == "replace":
            old, new = text.split("---\n")
            target = tmp_path / value
            assert target.read_text().count(old) == 1, f"{old!r} is not once in {value}"
            target.write_text(target.read_text().replace(old, new))
        elif language == "console":
            for line in text.splitlines():
                run(environment, tmp_path, line.removeprefix("$ "))
                if (tmp_path / "report.json").exists():
                    verdicts.append(json.loads((tmp_path / "report.json").read_text()))
    assert verdicts
    for verdict in verdicts:
        assert verdict["ok"] is True
        assert verdict["complete"] is True
        assert verdict["core"] == "proved"
        assert verdict["distribution"] == "sandboxkit-vault"
    assert verdicts[0]["capabilities"]["lifetime_update"] == "not declared"
    assert verdicts[-1]["capabilities"]["lifetime_update"] == "proved"
    page = (tmp_path / "report.html").read_text()
    assert "keeps the contract" in page
    code = [*(tmp_path / "sandboxkit_vault").glob("*.py")]
    lines = [line for path in code for line in path.read_text().splitlines() if line.strip()]
    assert len(lines) < 160


def run(environment: Path, folder: Path, line: str) -> None:
    words = shlex.split(line)
    if words[:2] == ["pip", "install"]:
        # The public index may not have this version yet: the checkout is installed already.
        words = [*words[:2], "--no-build-isolation", "--no-deps", "-q", "-e", "."]
    words[0] = str(environment / "bin" / words[0])
    done = subprocess.run(
        words,
        cwd=folder,
        env={
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PATH": os.environ["PATH"],
            "VAULT_ROOT": str(folder),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
