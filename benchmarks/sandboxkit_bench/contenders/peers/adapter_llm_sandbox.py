"""llm-sandbox, driven by its session."""

from __future__ import annotations

import shlex
from importlib.metadata import version
from typing import Any

from llm_sandbox import SandboxSession


class Docker:
    """Its containers, without the virtual environment that it makes from the network.

    Its ``close`` lets the engine wait ten seconds for a shell that ignores the signal; so the
    container is told to be stopped by one that it cannot ignore.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.version = version("llm-sandbox")
        self._options = options
        self._session: Any = None

    def _make(self) -> Any:
        runtime = {
            "network_mode": "none",
            "labels": self._options["labels"],
            "stop_signal": "SIGKILL",
            "command": "/bin/sh",
        }
        return SandboxSession(
            backend="docker",
            lang="python",
            image=self._options["image"],
            workdir="/tmp",
            skip_environment_setup=True,
            runtime_configs=runtime,
        )

    async def open(self) -> None:
        self._session = self._make()
        self._session.open()

    async def run(self, command: list[str]) -> str:
        done = self._session.execute_command(
            shlex.join(command), workdir=self._session.config.workdir
        )
        if done.exit_code != 0:
            raise RuntimeError(f"status {done.exit_code}: {done.stderr[-200:]}")
        return str(done.stdout)

    async def close(self) -> None:
        self._session.close()


class Bubblewrap(Docker):
    """Its workspaces, in which every command has namespaces of its own."""

    def _make(self) -> Any:
        return SandboxSession(backend="bubblewrap", lang="python", skip_environment_setup=True)
