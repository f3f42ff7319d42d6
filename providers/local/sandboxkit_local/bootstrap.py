"""Starting our own programs in a clean interpreter.

They find our modules by path, not through the caller's ``sys.path``, and load none of the heavy
packages on the way: the parent packages are empty stand-ins there.
"""

from __future__ import annotations

import importlib.util
import os

__all__ = ["agent_directory", "command"]

_PROGRAM = """\
import sys, types
for name, path in {packages!r}.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from {module} import main
sys.exit(main(*{arguments!r}))
"""


def command(
    executable: str, module: str, *arguments: str | float, agent: str | None = None
) -> list[str]:
    """The argument vector that runs ``main(*arguments)`` of one of our modules.

    Args:
        executable: the Python interpreter.
        module: its full name.
        arguments: plain values; seen by everyone who can list processes.
        agent: where the agent package is, if not beside us.
    """
    guest = os.path.dirname(agent or agent_directory())
    here = os.path.dirname(os.path.abspath(__file__))
    packages = {"sandboxkit": core_directory(), "sandboxkit.guest": guest, "sandboxkit_local": here}
    program = _PROGRAM.format(packages=packages, module=module, arguments=list(arguments))
    return [executable, "-I", "-c", program]


def core_directory() -> str:
    """Where the package ``sandboxkit`` is."""
    spec = importlib.util.find_spec("sandboxkit.errors")
    assert spec is not None
    assert spec.origin is not None
    return os.path.dirname(os.path.abspath(spec.origin))


def agent_directory() -> str:
    """Where the agent's package is."""
    return os.path.join(core_directory(), "guest", "agent")
