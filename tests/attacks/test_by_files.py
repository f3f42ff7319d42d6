"""Each attack through the file API fails; without the defence that holds it, it succeeds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.local.harness import KIND, Harness

from .arena import Arena
from .by_files import BY_FILES, FileAttack, attempt
from .weakened import WITHOUT

Without = frozenset[str] | None
HERE = [attack for attack in BY_FILES if KIND in attack.kinds]


class Grounds:
    """A sandbox for each set of defences that is missing, shared by the attacks."""

    def __init__(self, field: Arena) -> None:
        self._field = field
        self._made: dict[Without, tuple[Harness, str]] = {}

    def attempt(self, attack: FileAttack, without: Without, patience: int = 1) -> bool:
        if without not in self._made:
            side = self._field.strong if without is None else self._field.weak
            env = {} if without is None else {WITHOUT: ",".join(sorted(without))}
            self._made[without] = side, side.create(env=env).id
        side, sandbox = self._made[without]
        return side.do(attempt(side.provider, sandbox, attack, patience))

    def clear(self) -> None:
        for side, sandbox in self._made.values():
            side.kill(sandbox)


@pytest.fixture(scope="module")
def grounds(field: Arena) -> Iterator[Grounds]:
    made = Grounds(field)
    yield made
    made.clear()


@pytest.mark.parametrize("attack", HERE, ids=lambda attack: attack.name)
def test_attack_fails_and_its_control_succeeds(grounds: Grounds, attack: FileAttack):
    assert not grounds.attempt(attack, None)
    everything = frozenset(attack.held_by)
    for one in sorted(everything):
        assert not grounds.attempt(attack, everything - {one}), f"{one} alone does not hold it"
    succeeded = grounds.attempt(attack, everything, patience=20)
    assert succeeded, f"without {sorted(everything)} it should succeed"
