"""Each attack fails; without the defence that holds it, it succeeds."""

from __future__ import annotations

import collections

import pytest

from sandboxkit_local.jail import landlock
from tests.local.harness import KIND

from .arena import Arena, Outcome
from .catalogue import ATTACKS, UNCOUNTED, Attack

Key = tuple[str, str, frozenset[str] | None, str]
"""Group, user, the defences that are missing (``None``: a sandbox as it is), the rest."""

HERE = [attack for attack in ATTACKS if KIND in attack.kinds]


def user_of(attack: Attack) -> str:
    return "user" if KIND == "single" else attack.user


def defences(attack: Attack) -> tuple[str, ...]:
    missing = {"landlock"} if landlock.version() < 2 else set()
    return tuple(name for name in attack.defences(KIND) if name not in missing)


class Results:
    """Outcomes, tried when first asked for, together with all that can share the sandbox."""

    def __init__(self, field: Arena) -> None:
        self._field = field
        self._together: dict[Key, list[Attack]] = collections.defaultdict(list)
        self._found: dict[Key, dict[str, Outcome]] = {}
        for attack in HERE:
            for key in {self.key(attack, without) for without in removals(attack)}:
                self._together[key].append(attack)

    @staticmethod
    def key(attack: Attack, without: frozenset[str] | None) -> Key:
        options = attack.options if without is None else attack.control_options
        rest = f"{options} {attack.name if attack.alone else ''}"
        return attack.group, user_of(attack), without, rest

    def of(self, attack: Attack, without: frozenset[str] | None) -> Outcome:
        key = self.key(attack, without)
        if key not in self._found:
            names = [one.name for one in self._together[key]]
            options = attack.options if without is None else attack.control_options
            self._found[key] = self._field.attack(
                attack.group, names, user=key[1], without=without, options=options
            )
        return self._found[key][attack.name]


def removals(attack: Attack) -> list[frozenset[str] | None]:
    """The sandboxes to try it in: as it is; with no defence; with each defence alone."""
    everything = frozenset(defences(attack))
    return [None, everything, *(everything - {one} for one in sorted(everything))]


@pytest.fixture(scope="module")
def results(field: Arena) -> Results:
    return Results(field)


@pytest.mark.parametrize("attack", HERE, ids=lambda attack: attack.name)
def test_attack_fails_and_its_control_succeeds(results: Results, attack: Attack):
    succeeded, said = results.of(attack, None)
    assert not succeeded, said
    everything = frozenset(defences(attack))
    succeeded, said = results.of(attack, everything)
    assert succeeded, f"without {sorted(everything)} it should have succeeded: {said}"
    for one in sorted(everything):
        succeeded, said = results.of(attack, everything - {one})
        assert not succeeded, f"{one} alone does not hold it: {said}"


@pytest.mark.parametrize("group", UNCOUNTED)
def test_what_no_control_shows_fails_too(field: Arena, group: str):
    for user in ("user",) if KIND == "single" else ("root", "user"):
        found = field.attack(group, list(UNCOUNTED[group]), user=user, without=None, options={})
        assert {name: said for name, (succeeded, said) in found.items() if succeeded} == {}


def test_there_are_enough_of_them():
    names = [attack.name for attack in ATTACKS]
    assert len(names) == len(set(names)) >= 80
    assert not {*names} & {name for group in UNCOUNTED.values() for name in group}


def test_daemons_and_neighbours_are_well_after_all_that(field: Arena, results: Results):
    assert results
    for side in (field.strong, field.weak):
        neighbour = side.made[0]
        assert side.sh(neighbour, "cat /tmp/said") == "ready\n"
        assert side.sh(side.create().id, "echo well") == "well\n"
        assert side.ask("ping")["sandboxes"] == 2
