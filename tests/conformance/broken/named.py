"""A pytest plugin: of each broken provider's tests, only those that it names."""

from __future__ import annotations

import pytest

from . import BROKEN, all_names


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    all_names()
    chosen = [item for item in items if item.originalname in named(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def named(item: pytest.Item) -> frozenset[str]:
    """What the provider that a test was made for names; nothing for a test that needs none."""
    callspec = getattr(item, "callspec", None)
    target = callspec.params.get("target") if callspec else None
    return BROKEN[target].caught_by if target else frozenset()
