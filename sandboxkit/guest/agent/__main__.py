"""``python -m sandboxkit.guest.agent``, or ``python DIRECTORY``: the agent, unsandboxed."""

import importlib
import importlib.util
import os
import sys

_PACKAGE = "sandboxkit_agent"


def _become_package() -> str:
    """Make the directory that is run a package, so that its modules find each other.

    It leaves the module path, where its modules would hide those of the standard library.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, os.path.join(here, "__init__.py"), submodule_search_locations=[here]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = package
    spec.loader.exec_module(package)
    return _PACKAGE


importlib.import_module(".main", __package__ or _become_package()).main(sys.argv[1:])
