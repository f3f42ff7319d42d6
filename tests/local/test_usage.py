"""What control groups count, read from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandboxkit_local.jail import usage


@pytest.fixture
def version_1(tmp_path: Path) -> list[Path]:
    cpu, memory = tmp_path / "cpu,cpuacct", tmp_path / "memory"
    cpu.mkdir()
    memory.mkdir()
    (cpu / "cpuacct.usage").write_text("1500000000\n")
    (cpu / "cpu.stat").write_text("nr_periods 0\nnr_throttled 0\nthrottled_time 0\n")
    (memory / "memory.usage_in_bytes").write_text("10000000\n")
    (memory / "memory.stat").write_text("inactive_file 5\ntotal_inactive_file 4000000\n")
    return [cpu, memory]


@pytest.fixture
def version_2(tmp_path: Path) -> list[Path]:
    group = tmp_path / "group"
    group.mkdir()
    (group / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\nsystem_usec 1\n")
    (group / "memory.current").write_text("10000000\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 3000000\n")
    return [group]


def test_version_1(version_1: list[Path]) -> None:
    assert usage.cpu_seconds(version_1) == 1.5
    assert usage.memory_used(version_1) == 6_000_000


def test_version_2(version_2: list[Path]) -> None:
    assert usage.cpu_seconds(version_2) == 2.5
    assert usage.memory_used(version_2) == 7_000_000


def test_a_group_that_bounds_something_else(version_1: list[Path], tmp_path: Path) -> None:
    assert usage.cpu_seconds(version_1[1:]) is None
    assert usage.memory_used(version_1[:1]) is None
    without_cpuacct = tmp_path / "cpu"
    without_cpuacct.mkdir()
    (without_cpuacct / "cpu.stat").write_text("nr_periods 0\n")
    assert usage.cpu_seconds([without_cpuacct]) is None


def test_a_group_that_is_gone(tmp_path: Path) -> None:
    assert usage.cpu_seconds([tmp_path / "gone"]) is None
    assert usage.memory_used([tmp_path / "gone"]) is None
    assert usage.cpu_seconds([]) is None
