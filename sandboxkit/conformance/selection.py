"""Which tests are for which provider: by what it declares, never by its name."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import pytest

from sandboxkit.capabilities import Capabilities

__all__ = ["ALL_CAPABILITIES", "Needs", "needs_of", "unproved"]

ALL_CAPABILITIES = frozenset(
    field.name for field in fields(Capabilities) if field.type in (bool, "bool")
)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a test asks of its provider.

    Attributes:
        declared: capabilities that it must declare.
        undeclared: capabilities that it must not declare.
        keeps: what its pauses must keep; ``None`` is whatever they do.
    """

    declared: frozenset[str]
    undeclared: frozenset[str]
    keeps: str | None = None

    def fits(self, capabilities: Capabilities) -> bool:
        """Whether the test is for a provider with these."""
        flags = capabilities.flags()
        if self.keeps not in (None, capabilities.pause_keeps):
            return False
        return all(flags[name] for name in self.declared) and not any(
            flags[name] for name in self.undeclared
        )


def needs_of(item: pytest.Item) -> Needs:
    """What a test's marks and those of its module say.

    Raises:
        pytest.UsageError: a mark names what is no capability; else it would never run anywhere.
    """
    declared = frozenset(name for mark in _marks(item, "needs") for name in mark.args)
    undeclared = frozenset(name for mark in _marks(item, "without") for name in mark.args)
    keeps = [mark.kwargs["keeps"] for mark in _marks(item, "needs") if "keeps" in mark.kwargs]
    unknown = (declared | undeclared) - ALL_CAPABILITIES
    if unknown:
        raise pytest.UsageError(f"{item.nodeid}: not a capability: {', '.join(sorted(unknown))}")
    return Needs(declared, undeclared, keeps[0] if keeps else None)


def _marks(item: pytest.Item, mark: str) -> Iterator[pytest.Mark]:
    yield from item.iter_markers(mark)
    # `from suite import *` takes the functions along, but not their module's marks.
    function = getattr(item, "function", None)
    module = sys.modules.get(getattr(function, "__module__", ""), None)
    marks = getattr(module, "pytestmark", ())
    for found in marks if isinstance(marks, list | tuple) else (marks,):
        if found.name == mark:
            yield found.mark if isinstance(found, pytest.MarkDecorator) else found


def unproved(needs: Iterable[Needs]) -> dict[str, list[str]]:
    """Capabilities that no test proves where they are declared, or refutes where they are not."""
    all_needs = list(needs)
    positive = {name for one in all_needs for name in one.declared}
    negative = {name for one in all_needs for name in one.undeclared}
    return {
        "no test needs it": sorted(ALL_CAPABILITIES - positive),
        "no test runs without it": sorted(ALL_CAPABILITIES - negative),
    }
