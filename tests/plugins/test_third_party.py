"""A provider that lives in a distribution of its own works without any change here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent / "example"

USE = """
from sandboxkit import Sandbox, plugins

assert "example" in plugins.provider_names()
with Sandbox.create("example", network="full") as sbx:
    assert sbx.address.startswith("example:")
    result = sbx.run("echo out; echo err >&2; exit 3")
    assert (result.exit_code, result.stdout, result.stderr) == (3, "out\\n", "err\\n")
    assert sbx.run(["printf", "%s", "a b; c"]).stdout == "a b; c"
    assert sbx.run("kill -TERM $$").exit_code == 143
    assert sbx.run("cat", stdin="fed").stdout == "fed"
    assert sbx.run("echo $X", env={"X": "set"}).stdout == "set\\n"
    sbx.files.write("data.bin", bytes(range(256)))
    assert sbx.files.read_bytes("data.bin") == bytes(range(256))
    assert sbx.run("wc -c < data.bin").stdout.strip() == "256"
    assert [info.address for info in Sandbox.list("example")] == [sbx.address]
    try:
        sbx.files.read_text("none.txt")
    except FileNotFoundError as error:
        assert "none.txt" in str(error)
    else:
        raise AssertionError("no error for a missing file")
assert Sandbox.list("example") == []
print("used")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which pip has installed the example."""
    target = tmp_path_factory.mktemp("installed")
    offline = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*command, "--no-deps", *offline, "--target", str(target), str(EXAMPLE)],
        check=True,
        timeout=110,
    )
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), root])}


def python(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=60
    )


def test_it_is_used_by_its_name(installed: dict[str, str]) -> None:
    done = python(installed, "-W", "error", "-c", USE)
    assert (done.returncode, done.stdout) == (0, "used\n"), done.stderr


def test_the_command_line_knows_it(installed: dict[str, str]) -> None:
    listed = python(installed, "-m", "sandboxkit.cli", "providers")
    assert "isolates nothing" in listed.stdout, listed.stderr
    ran = python(
        installed,
        "-m",
        "sandboxkit.cli",
        "run",
        "-p",
        "example",
        "--network",
        "full",
        "--",
        "exit 5",
    )
    assert ran.returncode == 5, ran.stderr


def test_it_cannot_be_used_as_if_it_cut_the_network(installed: dict[str, str]) -> None:
    refused = python(installed, "-m", "sandboxkit.cli", "run", "-p", "example", "--", "true")
    assert refused.returncode == 1
    assert 'network="full"' in refused.stderr


def test_it_is_small() -> None:
    lines = [
        line
        for path in (EXAMPLE / "sandboxkit_example").glob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if line.strip()
    ]
    assert len(lines) < 100
