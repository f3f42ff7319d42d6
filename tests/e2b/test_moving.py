"""The page on moving from E2B: both sides of every pair run, and print the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.gateway.conftest import Served

PAGE = Path(__file__).parents[2] / "docs" / "moving-from-e2b.md"
BLOCKS = re.findall(r"```python\n# (E2B|sandboxkit)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
PAIRS = [(theirs[1], ours[1]) for theirs, ours in zip(BLOCKS[::2], BLOCKS[1::2], strict=True)]


def test_pairs_are_pairs() -> None:
    assert len(PAIRS) >= 3
    assert {kind for kind, _ in BLOCKS[::2]} == {"E2B"}
    assert {kind for kind, _ in BLOCKS[1::2]} == {"sandboxkit"}


def printed(code: str, place: Path, variables: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env={**os.environ, **variables, "XDG_CONFIG_HOME": str(place)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("pair", range(len(PAIRS)))
def test_both_sides_do_the_same(pair: int, vendor: Served, tmp_path: Path) -> None:
    theirs, ours = PAIRS[pair]
    expected = printed(theirs, tmp_path, vendor.variables)
    assert expected
    (tmp_path / "sandboxkit.toml").write_text('[profiles.e2b]\nprovider = "e2b"\nguest_user = ""\n')
    for profile in ("local", "e2b"):
        variables = {**vendor.variables, "SANDBOXKIT_PROFILE": profile}
        assert printed(ours, tmp_path, variables) == expected, profile
