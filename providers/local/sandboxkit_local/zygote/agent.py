"""The program that runs in sandboxes, loaded before its files are out of sight."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from functools import cache
from types import ModuleType

__all__ = ["directory", "hide_stand_ins", "load", "moved", "refresh_random", "warm"]

_PACKAGE = "sandboxkit.guest.agent"
_DRIVERS = _PACKAGE + ".drivers"
_ENTRY = _PACKAGE + ".serve"
_STAND_INS = ("sandboxkit", "sandboxkit.guest", "sandboxkit_local")


@cache
def load() -> ModuleType:
    """Import the agent with all its modules; returns the one that serves.

    A fork of a process that has done so finds it done: to list the modules again took each new
    sandbox as long as a fifth of its start.
    """
    package = importlib.import_module(_PACKAGE)
    drivers = importlib.import_module(_DRIVERS)
    for module in pkgutil.iter_modules(package.__path__, _PACKAGE + "."):
        if not module.name.endswith("__"):
            importlib.import_module(module.name)
    for module in pkgutil.iter_modules(drivers.__path__):
        if module.name not in drivers.OPTIONAL:
            importlib.import_module(f"{_DRIVERS}.{module.name}")
    return importlib.import_module(_ENTRY)


def warm() -> None:
    """Make ready what code contexts need of the modules that the template has preloaded."""
    importlib.import_module(_DRIVERS + ".python").warm()


def directory() -> str:
    """Where the agent's files are."""
    return os.path.dirname(os.path.abspath(str(importlib.import_module(_PACKAGE).__file__)))


def moved(place: str) -> None:
    """Its files are somewhere else from now on: those that are still to be read, or run."""
    before = directory()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.startswith(_PACKAGE) and file:
            module.__file__ = place + os.path.abspath(file).removeprefix(before)
            if hasattr(module, "__path__"):
                module.__path__ = [os.path.dirname(module.__file__)]


def hide_stand_ins() -> None:
    """Let code that is forked from here import the real packages of these names, if any."""
    for name in _STAND_INS:
        sys.modules.pop(name, None)


def refresh_random() -> None:
    """Make every random generator of a forked process its own.

    Several notice a fork only by a change of the process id, and every sandbox's first process is
    number 1.
    """
    seed = os.urandom(32)
    if "ssl" in sys.modules:
        sys.modules["ssl"].RAND_add(seed, 32.0)
    if "random" in sys.modules:
        sys.modules["random"].seed(seed)
    if "tempfile" in sys.modules:
        vars(sys.modules["tempfile"])["_name_sequence"] = None
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed(list(seed))
