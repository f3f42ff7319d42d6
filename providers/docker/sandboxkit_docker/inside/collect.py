"""Says what an interpreter consists of: run by it, prints one JSON object.

``executable``, ``loader`` and the libraries are files; libraries are named as programs ask for
them. What has the loader's name is empty for an interpreter that is linked statically.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
import sysconfig
from typing import Dict, List

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


def main() -> None:
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
    print(
        json.dumps(
            {
                "executable": os.path.realpath("/proc/self/exe"),
                "loader": loader,
                "libraries": libraries,
                "stdlib": sysconfig.get_path("stdlib"),
                "extensions": [os.path.join(extensions, name) for name in names],
                "version": "%d.%d" % sys.version_info[:2],
            }
        )
    )


main()
