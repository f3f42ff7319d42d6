"""``sandboxkit bench``, which hands over to a package of its own."""

from __future__ import annotations

import pytest

from sandboxkit.cli import bench
from sandboxkit.cli.app import run


def test_it_lists_what_it_measures(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "list"]) == 0
    assert "create to answer" in capsys.readouterr().out


def test_it_says_what_to_do_where_the_suite_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "SUITE", "sandboxkit_bench_that_is_not_there")
    assert run(["bench", "list"]) == 1
    assert "pip install -e ." in capsys.readouterr().err


def test_a_wrong_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--nonsense"]) == 2
    assert "--nonsense" in capsys.readouterr().err


def test_a_profile_that_is_not_there_ends_it_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "nonsense"]) == 1
    assert "nonsense" in capsys.readouterr().err
