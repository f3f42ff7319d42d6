"""Says what an interpreter consists of: run by it, prints one JSON object; or copies it.

To copy it, the arguments are a directory, and a program to become then with its arguments.

``executable``, ``loader`` and the libraries are files; libraries are named as programs ask for
them. What has the loader's name is empty for an interpreter that is linked statically.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import shutil
import sys
import sysconfig
from typing import Any, Dict, Iterator, List, Mapping, Tuple

# What no guest needs and much hangs on.
_LEFT_OUT = (
    "_tkinter",
    "nis",
    "readline",
    "_curses",
    "_curses_panel",
    "_dbm",
    "_gdbm",
    "xx",
    "_xx",
)


_SKIPPED = frozenset(
    (
        "__pycache__",
        "config",
        "dist-packages",
        "ensurepip",
        "idlelib",
        "lib-dynload",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "test",
        "tests",
        "tkinter",
        "turtledemo",
        "venv",
    )
)


class _Info(ctypes.Structure):
    _fields_ = [("address", ctypes.c_size_t), ("name", ctypes.c_char_p)]


def loaded() -> List[str]:
    """The files that the dynamic loader has loaded, by the names they were found under."""
    names: List[bytes] = []
    prototype = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(_Info), ctypes.c_size_t, ctypes.c_void_p
    )

    @prototype
    def note(info, _size, _data):  # type: ignore[no-untyped-def]
        names.append(info.contents.name)
        return 0

    ctypes.CDLL(None).dl_iterate_phdr(note, None)
    return [os.fsdecode(name) for name in names if name]


def wanted(extension: str) -> bool:
    """Whether an extension module goes along."""
    name = extension.partition(".")[0]
    return not (name in _LEFT_OUT or name.startswith(("_test", "xx", "_xx")) or "_test" in name)


def describe() -> Dict[str, Any]:
    """Load every extension module, then look at what that has brought in."""
    extensions = str(sysconfig.get_config_var("DESTSHARED") or "")
    names = sorted(filter(wanted, os.listdir(extensions))) if os.path.isdir(extensions) else []
    for name in names:
        try:
            importlib.import_module(name.partition(".")[0])
        except ImportError:
            continue  # this interpreter was built without it
    libraries: Dict[str, str] = {}
    loader = ""
    for path in loaded():
        name = os.path.basename(path)
        if not os.path.isabs(path) or path.startswith(extensions + os.sep):
            continue
        libraries[name] = path
        if name.startswith(("ld-", "ld64", "ld.so")):
            loader = path
    return {
        "executable": os.path.realpath("/proc/self/exe"),
        "loader": loader,
        "libraries": libraries,
        "stdlib": sysconfig.get_path("stdlib"),
        "extensions": [os.path.join(extensions, name) for name in names],
        "version": "%d.%d" % sys.version_info[:2],
    }


def layout(interpreter: Mapping[str, Any]) -> Iterator[Tuple[str, str]]:
    """Where each file goes, below the guest's directory, and where it is."""
    yield "bin/python3", interpreter["executable"]
    if interpreter["loader"]:
        yield "lib/ld", interpreter["loader"]
    for name, path in interpreter["libraries"].items():
        yield "lib/" + name, path
    home = "lib/python" + interpreter["version"]
    for path in interpreter["extensions"]:
        yield home + "/lib-dynload/" + os.path.basename(path), path
    stdlib = interpreter["stdlib"]
    for folder, folders, names in os.walk(stdlib):
        folders[:] = sorted(filter(_goes_along, folders))
        place = os.path.normpath(os.path.join(home, os.path.relpath(folder, stdlib)))
        for name in sorted(names):
            if name.endswith(".py"):
                yield place + "/" + name, os.path.join(folder, name)
                cached = importlib.util.cache_from_source(os.path.join(folder, name))
                if os.path.isfile(cached):
                    yield place + "/__pycache__/" + os.path.basename(cached), cached


def _goes_along(folder: str) -> bool:
    return folder not in _SKIPPED and not folder.startswith("config-")


def install(directory: str) -> None:
    """Copy this interpreter into a directory."""
    for name, path in layout(describe()):
        target = os.path.join(directory, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.exists(path):
            shutil.copy2(path, target)


if __name__ == "__main__":
    if sys.argv[1:]:
        install(sys.argv[1])
        os.execv(sys.argv[2], sys.argv[2:])  # what is to be done by the copy
    else:
        print(json.dumps(describe()))
