"""What a guest that was carried in sees of the kernel's kills for want of memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandboxkit.guest.agent import starving


class Answer:
    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def result(self, told: dict[str, Any]) -> None:
        self.told = told


class Offered:
    """Keeps the handler that is offered."""

    def add_op(self, name: str, handler: Any) -> None:
        assert name == "starved"
        self.handler = handler

    def asked(self) -> bool:
        answer = Answer()
        self.handler(answer, {})
        return answer.told["starved"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "memory.events", tmp_path / "vmstat"


def offered(files: tuple[Path, Path]) -> Offered:
    server = Offered()
    starving.install(server, tuple(map(str, files)))  # type: ignore[arg-type]
    return server


def test_a_kill_is_told_once(files: tuple[Path, Path]) -> None:
    group, machine = files
    machine.write_text("oom_kill_other 9\noom_kill 7\n")
    group.write_text("low 0\noom 3\noom_kill 3\noom_group_kill 5\n")
    server = offered(files)
    assert not server.asked()
    machine.write_text("oom_kill 8\n")  # somebody else's
    assert not server.asked()
    group.write_text("oom 4\noom_kill 4\n")
    assert server.asked()
    assert not server.asked()


def test_without_a_group_the_machine_counts(files: tuple[Path, Path]) -> None:
    files[1].write_text("nr_free_pages 1\noom_kill 7\n")
    server = offered(files)
    assert not server.asked()
    files[1].write_text("nr_free_pages 1\noom_kill 8\n")
    assert server.asked()


def test_where_nothing_is_counted_nothing_is_told(files: tuple[Path, Path]) -> None:
    server = offered(files)
    files[1].write_text("nr_free_pages 1\n")
    assert not server.asked()
