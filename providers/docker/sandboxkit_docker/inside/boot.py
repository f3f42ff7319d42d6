"""What a container runs: takes its modules out of the bundle, and becomes its first process.

To look for a hundred modules, open them and collect garbage between them takes longer than what
somebody waits for next. So `bundle` has laid them end to end, those of the standard library too.
"""

from __future__ import annotations

import gc
import importlib
import marshal
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec


class Bundle:
    """Finds and loads the modules in a file that `bundle` wrote; each once.

    Asked again for one, as code may that is forked from here, it leaves it to the usual finders:
    then it may be another that is meant.
    """

    def __init__(self, path):
        # type: (str) -> None
        self._path = path
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            self._index, early = marshal.loads(file.read(size))
            self._base = 8 + size
            self._early = file.read(early)

    def find_spec(self, name, _path=None, _target=None):
        # type: (str, object, object) -> ModuleSpec | None
        """See `importlib.abc.MetaPathFinder`."""
        found = self._index.get(name)
        if found is None:
            return None
        origin, folder, _, end = found
        if not end:
            del self._index[name]
            return ModuleSpec(name, ExtensionFileLoader(name, origin), origin=origin)
        # It has what the machinery of imports asks for, though it is no subclass of its classes.
        spec = ModuleSpec(name, self, origin=origin, is_package=bool(folder))  # type: ignore[arg-type]
        spec.has_location = True
        if folder:
            spec.submodule_search_locations = [folder]
        return spec

    def create_module(self, _spec):
        # type: (ModuleSpec) -> None
        """See `importlib.abc.Loader`."""

    def exec_module(self, module):
        # type: (object) -> None
        """See `importlib.abc.Loader`."""
        names = vars(module)
        _, _, start, end = self._index.pop(names["__name__"])
        exec(marshal.loads(self._content(start, end)), names)

    def _content(self, start, end):
        # type: (int, int) -> bytes
        if end <= len(self._early):
            return self._early[start:end]
        with open(self._path, "rb") as file:
            file.seek(self._base + start)
            return file.read(end - start)

    def forget(self):
        # type: () -> None
        """Keep nothing in memory of what is loaded; the rest is read when it is wanted."""
        self._early = b""


def main():
    # type: () -> None
    """Load a program, and become it. Arguments: the bundle, a module beside this one, its own."""
    gc.disable()
    bundle = Bundle(sys.argv.pop(1))
    sys.meta_path.insert(0, bundle)
    program = importlib.import_module("sandboxkit_docker.inside." + sys.argv.pop(1))
    bundle.forget()
    # Code that is forked from here must be able to import the real package of this name.
    sys.modules.pop("sandboxkit_docker", None)
    gc.freeze()
    gc.enable()
    program.main()


main()
