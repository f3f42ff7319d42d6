"""What the suite consists of, so that nothing of it can be lost on the way to a green run."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

__all__ = ["SUITE", "TOPICS", "belongs", "check_shadowing", "missing", "roster", "topic_of"]

SUITE = "sandboxkit.conformance.suite"
_PREFIX = f"{SUITE}.test_"
# By path: a module that is imported already is one whose assertions pytest cannot rewrite.
TOPICS = tuple(
    sorted(
        found.name.removeprefix("test_")
        for found in pkgutil.iter_modules([str(Path(__file__).with_name("suite"))])
        if found.name.startswith("test_")
    )
)
"""The topics of the contract: a module of the suite each."""


def roster() -> dict[str, str]:
    """Every test of the suite by name, with its topic.

    Raises:
        pytest.UsageError: two tests have one name; in a star import one would hide the other.
    """
    found: dict[str, str] = {}
    fixtures: dict[str, str] = {}
    for topic in TOPICS:
        module = importlib.import_module(_PREFIX + topic)
        for name, value in vars(module).items():
            if not name.startswith("test_") or not inspect.isfunction(value):
                continue
            if value.__module__ != module.__name__:
                continue
            if name in found:
                raise pytest.UsageError(f"{name} is both in {found[name]} and in {topic}")
            found[name] = topic
        _claim_fixtures(module, topic, fixtures)
    return found


def _claim_fixtures(module: ModuleType, topic: str, fixtures: dict[str, str]) -> None:
    """See that a star import brings every module's own fixtures, and none for all tests."""
    for name, value in vars(module).items():
        if getattr(value, "__module__", None) != module.__name__ or not _is_fixture(value):
            continue
        if name in fixtures:
            raise pytest.UsageError(f"fixture {name} is both in {fixtures[name]} and in {topic}")
        fixtures[name] = topic


def _is_fixture(value: object) -> bool:
    return type(value).__name__ == "FixtureFunctionDefinition"


def belongs(item: pytest.Item) -> bool:
    """Whether a test is the suite's own, wherever it was collected."""
    return topic_of(item) is not None


def topic_of(item: pytest.Item) -> str | None:
    """The topic of a test of the suite; ``None`` for others."""
    module: str = getattr(getattr(item, "function", None), "__module__", "")
    return module.removeprefix(_PREFIX) if module.startswith(_PREFIX) else None


def missing(items: Iterable[pytest.Item]) -> list[str]:
    """Tests of the suite that were not collected."""
    return sorted(roster().keys() - set(_names(items)))


def _names(items: Iterable[pytest.Item]) -> Iterator[str]:
    for item in items:
        if belongs(item):
            yield getattr(item, "originalname", item.name)


def check_shadowing(items: Iterable[pytest.Item]) -> None:
    """Refuse a test that stands in a suite test's place.

    Raises:
        pytest.UsageError: there is one.
    """
    ours = roster()
    for item in items:
        name = getattr(item, "originalname", item.name)
        if not belongs(item) and name in ours and _imports_suite(item):
            raise pytest.UsageError(
                f"{item.nodeid} hides the conformance test of the same name; call it something else"
            )


def _imports_suite(item: pytest.Item) -> bool:
    module = getattr(item, "module", None)
    values = vars(module).values() if module is not None else ()
    return any(getattr(value, "__module__", "").startswith(_PREFIX) for value in values)
