"""Providers that are wrong on purpose, each in one believable way, to see that the suite sees it.

Every one is a provider that passes, with one behaviour changed, and names the tests that must
reject it. `register` makes them installed providers: found by entry point, as strangers' are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sandboxkit.plugins import GROUP
from sandboxkit.provider import Provider

__all__ = ["BROKEN", "Broken", "broken", "register"]

P = TypeVar("P", bound=type[Provider])


@dataclass(frozen=True)
class Broken:
    """One of them.

    Attributes:
        provider: the class.
        base: what it is made from.
        topics: the topics of the suite that it is held against.
        caught_by: the tests that must reject it, and no others may.
    """

    provider: type[Provider]
    base: str
    topics: tuple[str, ...]
    caught_by: frozenset[str]

    @property
    def name(self) -> str:
        return self.provider.name


BROKEN: dict[str, Broken] = {}


def broken(*caught_by: str, base: str = "memory", topics: tuple[str, ...] = ()) -> Callable[[P], P]:
    """Enter a provider here; its name is made from the class's."""

    def enter(provider: P) -> P:
        provider.name = "broken-" + "".join(
            f"-{letter.lower()}" if letter.isupper() else letter for letter in provider.__name__
        ).lstrip("-")
        BROKEN[provider.name] = Broken(provider, base, topics, frozenset(caught_by))
        return provider

    return enter


def register(directory: Path) -> None:
    """Write what an installed distribution of all of them would have, to be put on the path."""
    metadata = directory / "sandboxkit_broken-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: sandboxkit-broken\nVersion: 1\n"
    )
    points = "".join(f"{name} = tests.conformance.broken.plugin\n" for name in all_names())
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{points}")


def all_names() -> list[str]:
    from . import local, memory, observing  # noqa: F401 - they enter themselves

    return list(BROKEN)
