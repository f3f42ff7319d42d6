"""What an observer makes of the events of a watch: an independent picture of the tree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROGRAM = (Path(__file__).parent / "suite" / "watch_program.py").read_text()


class Picture:
    """The tree as far as it was told. It knows nothing of inotify.

    Attributes:
        told: paths whose content was told of since `forget`.
        overflows: how often the watch said that it lost something.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.entries: dict[str, str] = {}
        self.told: set[str] = set()
        self.overflows = 0
        self.events = 0

    def fold(self, event: Mapping[str, Any]) -> None:
        """Take in an event."""
        self.events += 1
        kind, path, type_ = event["kind"], event["path"], event["type"]
        if kind == "overflow":
            self.entries.clear()
            self.told.clear()
            self.overflows += 1
        elif kind == "created":
            if not (type_ != "directory" and self.entries.get(path) == type_):
                self._remove(path)
            self._have(path, type_)
            self.told.add(path)
        elif kind == "modified":
            self.told.add(path)
        elif kind == "removed":
            self._remove(path)
        elif kind == "renamed":
            self._rename(path, event["target"], type_)
        else:
            assert kind == "attributes", kind

    def _have(self, path: str, type_: str) -> None:
        assert path.startswith(self.root + "/"), path
        parent = path.rpartition("/")[0]
        assert parent == self.root or self.entries.get(parent) == "directory", (
            f"{path} was told before its directory"
        )
        self.entries[path] = type_

    def _below(self, path: str) -> list[str]:
        return [path, *(name for name in self.entries if name.startswith(path + "/"))]

    def _remove(self, path: str) -> None:
        for name in self._below(path):
            self.entries.pop(name, None)
            self.told.discard(name)

    def _rename(self, path: str, target: str, type_: str) -> None:
        moved = {
            target + name[len(path) :]: (self.entries.get(name), name in self.told)
            for name in self._below(path)
        }
        self._remove(path)
        self._remove(target)
        for name, (known, told) in moved.items():
            self._have(name, type_ if name == target else str(known))
            if told:
                self.told.add(name)
