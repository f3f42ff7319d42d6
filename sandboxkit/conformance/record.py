"""What a run has shown about one provider, and its machine-readable form."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sandboxkit import __version__

from .selection import ALL_CAPABILITIES, Needs
from .target import Subject

__all__ = ["FORMAT", "Outcome", "Record", "Verdict", "lost_proofs"]

FORMAT = 1
"""Version of the report's form; it grows when a reader would have to change."""

Outcome = Literal["passed", "failed", "known failure", "not run"]
Verdict = Literal["proved", "refuted", "known failure", "not declared", "not run"]


@dataclass(slots=True)
class _Test:
    topic: str
    needs: Needs
    outcome: Outcome = "not run"
    seconds: float = 0.0
    detail: str = ""


@dataclass(slots=True)
class Record:
    """The tests of one provider, and what follows from them.

    Attributes:
        subject: the provider.
        tests: by name, parameters included.
        left: sandboxes and snapshots that the run has left behind.
        complete: whether the whole suite was run.
        seconds: how long it took.
    """

    subject: Subject
    tests: dict[str, _Test] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    complete: bool = True
    seconds: float = 0.0

    def expect(self, name: str, topic: str, needs: Needs) -> None:
        """A test is going to be run."""
        self.tests[name] = _Test(topic, needs)

    def add(self, name: str, outcome: Outcome, seconds: float, detail: str = "") -> None:
        """A test, or its preparation, or its clean-up, has ended. The worst counts."""
        test = self.tests[name]
        test.seconds += seconds
        if test.outcome in ("not run", "passed"):
            test.outcome, test.detail = outcome, detail

    @property
    def ok(self) -> bool:
        """Whether everything was run, nothing failed that is not known to, and nothing was left."""
        outcomes = {test.outcome for test in self.tests.values()}
        if self.complete and "not run" in (self.core(), *self.capabilities().values()):
            return False
        return bool(outcomes) and not self.left and outcomes <= {"passed", "known failure"}

    def capabilities(self) -> dict[str, Verdict]:
        """What is shown of each capability."""
        flags = self.subject.capabilities.flags()
        return {
            name: self._verdict(name, declared=flags[name] or name in self.subject.emulated)
            for name in sorted(ALL_CAPABILITIES)
        }

    def core(self) -> Verdict:
        """What is shown of that which every provider must do."""
        return _judge(
            test.outcome
            for test in self.tests.values()
            if not test.needs.declared and not test.needs.undeclared
        )

    def _verdict(self, capability: str, *, declared: bool) -> Verdict:
        verdict = _judge(
            test.outcome
            for test in self.tests.values()
            if capability in (test.needs.declared if declared else test.needs.undeclared)
        )
        return "not declared" if verdict == "proved" and not declared else verdict

    def as_json(self) -> dict[str, Any]:
        """The report, as `docs/conformance.md` describes it."""
        subject = self.subject
        return {
            "format": FORMAT,
            "provider": subject.provider,
            "profile": subject.profile,
            "distribution": subject.distribution,
            "version": subject.version,
            "sandboxkit": __version__,
            "python": platform.python_version(),
            "platform": f"{sys.platform}-{platform.machine()}",
            "isolation": subject.capabilities.isolation,
            "emulated": sorted(subject.emulated),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "complete": self.complete,
            "ok": self.ok,
            "core": self.core(),
            "capabilities": self.capabilities(),
            "left": self.left,
            "tests": {
                name: {
                    "topic": test.topic,
                    "outcome": test.outcome,
                    "seconds": round(test.seconds, 3),
                    **({"detail": test.detail} if test.detail else {}),
                }
                for name, test in sorted(self.tests.items())
            },
        }

    def write(self, path: Path) -> None:
        """Write the report."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_json(), indent=1, ensure_ascii=False) + "\n", "utf-8")


def _judge(outcomes: Iterator[Outcome]) -> Verdict:
    found = set(outcomes)
    if "failed" in found:
        return "refuted"
    if "known failure" in found:
        return "known failure"
    return "proved" if found == {"passed"} else "not run"


def lost_proofs(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What an earlier report had proved and this one has not."""
    lost = [
        f"{name}: {verdict}, now {now['capabilities'].get(name, 'gone')}"
        for name, verdict in before["capabilities"].items()
        if verdict in ("proved", "not declared")
        and now["capabilities"].get(name) not in ("proved", verdict)
    ]
    if before["core"] == "proved" != now["core"]:
        lost.append(f"core: proved, now {now['core']}")
    gone = sorted(
        name
        for name, test in before["tests"].items()
        if test["outcome"] == "passed" and name not in now["tests"]
    )
    return lost + [f"{name}: passed, now not there" for name in gone]
