"""The file of a run: everything that was recorded, so that every figure can be made again."""

from __future__ import annotations

import gzip
import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from . import FORMAT
from .samples import CaseInfo, Finding, Missing, Sample

__all__ = ["Results", "load", "save", "schema"]


@dataclass
class Results:
    """One run.

    Attributes:
        format: version of this form.
        version: of sandboxkit.
        started: when, as ISO 8601 in UTC.
        seconds: how long it took.
        seed: of everything that was drawn.
        reference: the contender that all others are compared with.
        machine: what it ran on, by name.
        floor: what the machine itself takes, by name: seconds, several measurements each.
        cases: the contenders of each scenario.
        samples: every attempt, in the order in which they ended.
        missing: what was not measured.
        findings: what a reader must know.
    """

    format: int
    version: str
    started: str
    seconds: float
    seed: int
    reference: str
    machine: dict[str, str] = field(default_factory=dict)
    floor: dict[str, list[float]] = field(default_factory=dict)
    cases: list[CaseInfo] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def scenarios(self) -> list[str]:
        """Their names, in the order in which they were run."""
        return list(dict.fromkeys(one.scenario for one in self.cases))

    def of(self, scenario: str, contender: str) -> list[Sample]:
        """The attempts of one case."""
        return [
            one for one in self.samples if one.scenario == scenario and one.contender == contender
        ]


@cache
def _adapter() -> TypeAdapter[Results]:
    return TypeAdapter(Results)


def schema() -> dict[str, Any]:
    """The form as a JSON Schema."""
    return _adapter().json_schema()


def _lean(one: Any) -> dict[str, Any]:
    """A record without what is as it is by default."""
    defaults: dict[str, Any] = {}
    for each in fields(one):
        if each.default is not MISSING:
            defaults[each.name] = each.default
        elif each.default_factory is not MISSING:
            defaults[each.name] = each.default_factory()
    return {
        name: value
        for name, value in asdict(one).items()
        if name not in defaults or value != defaults[name]
    }


def save(results: Results, path: Path) -> None:
    """Write a file, compressed if its name ends in ``.gz``: a record a line."""
    head = {
        each.name: getattr(results, each.name)
        for each in fields(results)
        if each.name not in ("cases", "samples", "missing", "findings")
    }
    parts = [f'"{name}": {json.dumps(value)}' for name, value in head.items()]
    for name in ("cases", "missing", "findings", "samples"):
        lines = [json.dumps(_lean(one)) for one in getattr(results, name)]
        parts.append(f'"{name}": [\n' + ",\n".join(lines) + "\n]")
    text = "{\n" + ",\n".join(parts) + "\n}\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        path.write_text(text, "utf-8")


def load(path: Path) -> Results:
    """Read a file.

    Raises:
        ValueError: it is no such file, or one of another version.
    """
    raw = path.read_bytes()
    try:
        text = gzip.decompress(raw) if path.suffix == ".gz" else raw
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(f"{path} is not of format {FORMAT}")
        return _adapter().validate_python(found)
    except (json.JSONDecodeError, gzip.BadGzipFile, ValidationError) as error:
        problem = str(error).splitlines()[0]
        raise ValueError(f"{path} holds no results of a benchmark: {problem}") from error
