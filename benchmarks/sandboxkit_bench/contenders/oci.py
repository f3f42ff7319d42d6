"""runc and crun: one container of an OCI bundle, run by the runtime alone."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from ..settings import Settings
from ..trial import Trial
from .bwrap import shown
from .host import python_for
from .program import ProgramStart, needed

__all__ = ["Runtime"]

OPTIONS = {"crun": ["--cgroup-manager=disabled"]}
"""crun makes no control group where both versions are in use; runc makes one all the same."""

NAMESPACES = ("pid", "network", "ipc", "uts", "mount")


class Runtime(ProgramStart):
    """``runc run``, or another runtime with the same command line. Needs root."""

    isolation = "namespaces"

    def __init__(self, settings: Settings, scenario: str, program: str) -> None:
        super().__init__(scenario)
        self.contender = f"{program} run python3 -c"
        self._settings, self._program = settings, program
        self._options = OPTIONS.get(program, [])
        self._bundle: tempfile.TemporaryDirectory[str] | None = None
        self._runtime = ""
        self._python = ""

    def prepare(self) -> None:
        self._runtime = needed(self._program)
        self._python = python_for(self._settings, useful=False)
        self._bundle = tempfile.TemporaryDirectory(prefix="sandboxkit-bench-")
        root = Path(self._bundle.name, "rootfs")
        for name in ("proc", "dev", "tmp", "sys"):
            (root / name).mkdir(parents=True)
        for path in shown(self._python, None):
            (root / path.lstrip("/")).mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (root / name).symlink_to(f"usr/{name}")
        self.note = f"the interpreter is {self._python}; rootfs of bind mounts"
        if self._options:
            self.note += f"; {' '.join(self._options)}"

    def command(self, program: str, trial: Trial) -> list[str]:
        assert self._bundle is not None
        # The program is part of the bundle: written by every attempt, as any user of it must.
        Path(self._bundle.name, "config.json").write_text(json.dumps(self._config(program)))
        name = f"{self._settings.token}-{trial.number + 10}"
        return [self._runtime, *self._options, "run", "--bundle", self._bundle.name, name]

    def _config(self, program: str) -> dict[str, Any]:
        mounts: list[dict[str, Any]] = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
        ]
        for path in shown(self._python, None):
            options = ["rbind", "ro"]
            mounts.append({"destination": path, "type": "bind", "source": path, "options": options})
        return {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": False,
                "user": {"uid": 0, "gid": 0},
                "args": [self._python, "-c", program],
                "env": ["PATH=/usr/bin:/bin"],
                "cwd": "/",
                "noNewPrivileges": True,
            },
            "root": {"path": "rootfs", "readonly": True},
            "mounts": mounts,
            "linux": {"namespaces": [{"type": kind} for kind in NAMESPACES]},
        }

    def close(self) -> None:
        if self._bundle is not None:
            self._bundle.cleanup()
            self._bundle = None
