"""Where a user's own packages are installed, and how cells see those installed a moment ago.

Python looks there only if the directory was there as it started, and in a virtual environment not
at all. A template's own packages are mostly not the user's to change.
"""

from __future__ import annotations

import contextlib
import os
import site
import sys
from importlib.machinery import PathFinder
from typing import Any, Iterator

__all__ = ["for_pip", "look_there"]

# In a virtual environment it removes nothing that is elsewhere, its own older versions included.
_PIP = (
    "import runpy, sys; sys.base_prefix = sys.prefix; sys.argv[0] = 'pip'; "
    "runpy.run_module('pip', run_name='__main__')"
)


def look_there() -> None:
    """Import the user's own packages from now on, also those that will be installed only later."""
    if os.environ.get("PYTHONNOUSERSITE"):
        return
    # As the agent was started, its user was another one.
    site.USER_BASE, site.USER_SITE = _base(), _packages()
    if os.path.isdir(_packages()):
        _add()
    else:
        sys.meta_path.append(_Later(_packages()))


@contextlib.contextmanager
def for_pip() -> Iterator[str]:
    """Have pip install where it may: for the user alone, if the rest is not the user's.

    Pip does so by itself, but not in a virtual environment.

    Yields:
        the shell's words that start it, for as long as the ``with`` block lasts.
    """
    import shlex
    import sysconfig

    python = shlex.quote(sys.executable)
    settled = site.ENABLE_USER_SITE or "PIP_PREFIX" in os.environ
    if settled or os.access(sysconfig.get_path("purelib"), os.W_OK):
        yield f"{python} -m pip"
        return
    paths = [_packages(), *filter(None, [os.environ.get("PYTHONPATH")])]
    ours = {
        "PIP_PREFIX": _base(),
        # What is on its path counts as installed.
        "PYTHONPATH": os.pathsep.join(paths),
        # Else it would ask whether this is the system's Python.
        "PIP_BREAK_SYSTEM_PACKAGES": "1",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield f"{python} -c {shlex.quote(_PIP)}"
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _base() -> str:
    return os.environ.get("PYTHONUSERBASE") or os.path.expanduser("~/.local")


def _packages() -> str:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return os.path.join(_base(), "lib", version, "site-packages")


def _add() -> None:
    """Have it before what the template has, as Python does."""
    packages = _packages()
    if packages not in sys.path:
        known = len(sys.path)
        site.addsitedir(packages)
        added, sys.path[known:] = sys.path[known:], []
        system = [path for path in sys.path if path.endswith("-packages")]
        at = sys.path.index(system[0]) if system else known
        sys.path[at:at] = added
    # What was looked for before it was there is remembered as missing.
    sys.path_importer_cache.pop(packages, None)


class _Later:
    """A finder that is asked last, when a module was not found, and looks once there is a place."""

    def __init__(self, packages: str) -> None:
        self._packages = packages

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if path is not None:
            return None
        try:
            # No more than this, mostly: an interrupt that comes in here is told with our lines.
            os.stat(self._packages)
        except OSError:
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        _add()
        return PathFinder.find_spec(name, None, target)
