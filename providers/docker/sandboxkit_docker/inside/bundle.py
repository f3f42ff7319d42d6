"""Writes the bundle: all modules that the guest loads, compiled, in the order it wants them.

Run by the guest's own interpreter where the guest will run, so that all names and paths are right.
The file is a number of eight bytes (little-endian), that many bytes of an index, then the modules.
The index is a dictionary of names and the length of what is wanted at once; it says of a module its
origin, its directory if it is a package, and its begin and end, which are 0 for an extension.
"""

from __future__ import annotations

import importlib
import marshal
import os
import sys

__all__ = ["write"]

_AGENT = "sandboxkit.guest.agent"


def write(path: str) -> None:
    """Import everything, then write it down."""
    # What is here by now `boot` needs too; so nothing may be imported above that it does not.
    known = set(sys.modules)
    importlib.import_module("sandboxkit_docker.inside.first")
    early = _loaded(known)
    importlib.import_module("sandboxkit_docker.inside.proxy")
    importlib.import_module("sandboxkit_docker.inside.mounter")
    for module, _, _ in importlib.import_module(_AGENT + ".ondemand").GROUPS:
        importlib.import_module(_AGENT + "." + module)
    names = early + _loaded(known.union(early))
    index: dict[str, tuple[str, str, int, int]] = {}
    modules: list[bytes] = []
    end = at_once = 0
    for name in names:
        spec = sys.modules[name].__spec__
        assert spec is not None
        assert spec.origin is not None
        if not spec.origin.endswith(".py"):
            index[name] = (spec.origin, "", 0, 0)
            continue
        code = marshal.dumps(spec.loader.get_code(name))  # type: ignore[union-attr]
        folder = os.path.dirname(spec.origin) if spec.submodule_search_locations else ""
        index[name] = (spec.origin, folder, end, end + len(code))
        modules.append(code)
        end += len(code)
        if name in early:
            at_once = end
    content = marshal.dumps((index, at_once))
    with open(path, "wb") as file:
        file.write(len(content).to_bytes(8, "little") + content + b"".join(modules))


def _loaded(known: set[str]) -> list[str]:
    """Those that came from files since, in the order in which they came."""
    found = []
    for name, module in sys.modules.items():
        origin = getattr(getattr(module, "__spec__", None), "origin", None) or ""
        if name not in known and os.path.isabs(origin):
            found.append(name)
    return found


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    write(sys.argv[2])
