"""A daemon whose zygotes are the weakened ones."""

from __future__ import annotations

import os
import sys
from typing import Any

from sandboxkit_local import bootstrap
from sandboxkit_local.daemon import main as daemon
from sandboxkit_local.daemon import service, zygotes
from sandboxkit_local.jail import idmap

WITHOUT = "SANDBOXKIT_TEST_WITHOUT"
_PROGRAM = """\
import sys, types
for name, path in {packages!r}.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from sandboxkit_attacks.weakened import main
sys.exit(main(*{arguments!r}))
"""


def main(state: str, ready_fd: int, planted: str) -> int:
    """Run it; its exit status.

    Args:
        state: the state directory.
        ready_fd: as the daemon's own.
        planted: a variable of the environment that no sandbox may see, as ``NAME=value``.
    """
    launch = bootstrap.popen

    def popen(executable: str, title: str, module: str, *rest: Any, **options: Any) -> Any:
        if module == "sandboxkit_local.zygote.launcher":
            name, _, value = planted.partition("=")
            options["env"] = {**options["env"], name: value}
            program, bootstrap._PROGRAM = bootstrap._PROGRAM, _with_tests()
            try:
                return launch(executable, title, module, *rest, **options)
            finally:
                bootstrap._PROGRAM = program
        return launch(executable, title, module, *rest, **options)

    zygotes.bootstrap.popen = popen
    _believe_guests()
    choose = idmap.choose
    daemon.idmap.choose = lambda: _exposed(choose())
    nobody_waits = os.open(os.devnull, os.O_RDONLY)  # nobody else starts it
    return daemon.main(state, state, ready_fd, nobody_waits, 600.0, 0)


def _believe_guests() -> None:
    """As for sandboxes that lack the defences which are the daemon's own."""
    said, shortened = service.Service._guest_said, service.Service._guest_shortened

    def without(sandbox: Any) -> list[str]:
        return sandbox.order["agent"]["env"].get(WITHOUT, "").split(",")

    def guest_said(self: Any, sandbox: Any, message: dict[str, Any], fds: list[int]) -> None:
        said(self, sandbox, message, [] if "descriptors closed" in without(sandbox) else fds)

    def guest_shortened(self: Any, sandbox: Any, lifetime: Any) -> None:
        if "lifetime" in without(sandbox):
            self._set_end(sandbox, lifetime)
        else:
            shortened(self, sandbox, lifetime)

    service.Service._guest_said = guest_said
    service.Service._guest_shortened = guest_shortened


def _with_tests() -> str:
    here = os.path.dirname(os.path.abspath(__file__))
    return bootstrap_program().replace(
        "from {module} import main",
        f"sys.modules['sandboxkit_attacks'] = types.ModuleType('sandboxkit_attacks')\n"
        f"sys.modules['sandboxkit_attacks'].__path__ = [{here!r}]\n"
        "from sandboxkit_attacks.weakened import main",
    )


def bootstrap_program() -> str:
    return bootstrap._PROGRAM


def _exposed(ids: idmap.IdMap) -> idmap.IdMap:
    """As root, the host's own ids, the root's among them."""
    if ids.kind != "root":
        return ids
    everything = (0, 0, ids.uids[2])
    return idmap.IdMap("root", everything, everything)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
