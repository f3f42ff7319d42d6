"""Starting our own programs in a clean interpreter.

They find our modules by path, not through the caller's ``sys.path``, and load none of the heavy
packages on the way: the parent packages are empty stand-ins there.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from typing import Any

__all__ = ["agent_directory", "popen"]

_PROGRAM = """\
import sys, types
for name, path in {packages!r}.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from {module} import main
sys.exit(main(*{arguments!r}))
"""


def popen(
    executable: str,
    title: str,
    module: str,
    *arguments: str | float,
    agent: str | None = None,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Run ``main(*arguments)`` of one of our modules.

    The program comes through standard input, as the command line of a zygote is seen in sandboxes.

    Args:
        executable: the Python interpreter.
        title: what to show in lists of processes.
        module: its full name.
        arguments: plain values.
        agent: where the agent package is, if not beside us.
        options: for `subprocess.Popen`; not ``stdin``.

    Raises:
        OSError: it cannot be run.
    """
    guest = os.path.dirname(agent or agent_directory())
    here = os.path.dirname(os.path.abspath(__file__))
    packages = {"sandboxkit": core_directory(), "sandboxkit.guest": guest, "sandboxkit_local": here}
    program = _PROGRAM.format(packages=packages, module=module, arguments=list(arguments))
    reading, writing = os.pipe()
    try:
        os.write(writing, program.encode())  # far less than a pipe holds
        os.close(writing)
        return subprocess.Popen([executable, "-I", "-", title], stdin=reading, **options)
    finally:
        os.close(reading)


def core_directory() -> str:
    """Where the package ``sandboxkit`` is."""
    spec = importlib.util.find_spec("sandboxkit.errors")
    assert spec is not None
    assert spec.origin is not None
    return os.path.dirname(os.path.abspath(spec.origin))


def agent_directory() -> str:
    """Where the agent's package is."""
    return os.path.join(core_directory(), "guest", "agent")
