"""bubblewrap: namespaces and bind mounts, by a small program in C."""

from __future__ import annotations

import os
from pathlib import Path

from ..settings import Settings
from ..trial import Trial
from .host import python_for
from .program import ProgramStart, needed

__all__ = ["Bubblewrap", "shown"]


def shown(python: str, data: Path | None) -> list[str]:
    """The directories that an interpreter needs, none of them inside another."""
    wanted = {"/usr", os.path.dirname(os.path.dirname(os.path.realpath(python)))}
    if data is not None and python.startswith(str(data)):
        wanted.add(str(data))
    kept: list[str] = []
    for path in sorted(wanted):
        if not any(path == outer or path.startswith(f"{outer}/") for outer in kept):
            kept.append(path)
    return kept


class Bubblewrap(ProgramStart):
    """``bwrap`` with all namespaces unshared."""

    contender, isolation = "bwrap python3 -c", "namespaces"

    def __init__(self, settings: Settings, scenario: str, *, useful: bool = False) -> None:
        super().__init__(scenario, useful=useful)
        self._settings = settings
        self._words: list[str] = []

    def prepare(self) -> None:
        python = python_for(self._settings, self.useful)
        words = [needed("bwrap", "bubblewrap"), "--unshare-all", "--die-with-parent", "--clearenv"]
        for path in shown(python, self._settings.data):
            words += ["--ro-bind", path, path]
        for name in ("/bin", "/lib", "/lib64", "/sbin"):
            words += ["--symlink", f"usr{name}", name]
        words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--", python, "-c"]
        self._words = words
        self.note = f"the interpreter is {python}"

    def command(self, program: str, trial: Trial) -> list[str]:
        return [*self._words, program]
