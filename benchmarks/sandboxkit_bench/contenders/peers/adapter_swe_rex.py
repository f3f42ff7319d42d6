"""SWE-ReX, driven by its deployments; commands by ``execute``, which needs no shell's session."""

from __future__ import annotations

import os
import sysconfig
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["SWE_REX_LOG_STREAM_LEVEL"] = "ERROR"  # it writes a line for each step otherwise

from swerex.deployment.docker import DockerDeployment
from swerex.deployment.local import LocalDeployment
from swerex.runtime.abstract import Command


class Local:
    """Its runtime in this process: commands are this machine's."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.version = version("swe-rex")
        self._options = options
        self._home = tempfile.TemporaryDirectory(prefix="sandboxkit-bench-")
        self._cwd = self._home.name
        self._deployment: Any = None

    def _make(self) -> Any:
        return LocalDeployment()

    async def open(self) -> None:
        self._deployment = self._make()
        await self._deployment.start()

    async def run(self, command: list[str]) -> str:
        wanted = Command(command=command, cwd=self._cwd, check=True)
        return str((await self._deployment.runtime.execute(wanted)).stdout)

    async def close(self) -> None:
        await self._deployment.stop()


class Docker(Local):
    """Its server in a container, which gets the packages of this interpreter to read.

    So nothing is installed from the network; the image's Python must be of the same version.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self._server = Path(self._home.name, "swerex-remote")
        self._server.write_text('#!/bin/sh\nexec python3 -m swerex.server "$@"\n')
        self._server.chmod(0o755)
        os.chmod(self._home.name, 0o755)
        self._cwd = "/tmp"

    def _make(self) -> Any:
        labels = [f"--label={name}={value}" for name, value in self._options["labels"].items()]
        shown = [
            f"--volume={sysconfig.get_path('purelib')}:/opt/swerex:ro",
            f"--volume={self._server}:/usr/local/bin/swerex-remote:ro",
            "--env=PYTHONPATH=/opt/swerex",
        ]
        return DockerDeployment(
            image=self._options["image"],
            pull="never",
            startup_timeout=30,
            docker_args=[*labels, *shown],
        )
