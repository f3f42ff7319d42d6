"""The sandboxes of openai-agents, by their clients and without an agent."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from agents.sandbox.sandboxes.unix_local import UnixLocalSandboxClient


class Local:
    """Its ``unix_local``: on Linux a directory, and commands of this machine."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.version = version("openai-agents")
        self._options = options
        self._client = self._connect()
        self._session: Any = None

    def _connect(self) -> Any:
        return UnixLocalSandboxClient()

    def _wanted(self) -> Any:
        return None

    async def open(self) -> None:
        self._session = await self._client.create(options=self._wanted())
        await self._session.start()

    async def run(self, command: list[str]) -> str:
        done = await self._session.exec(*command, shell=False)
        if done.exit_code != 0:
            raise RuntimeError(f"status {done.exit_code}: {done.stderr[-200:]!r}")
        return bytes(done.stdout).decode("utf-8", "replace")

    async def close(self) -> None:
        await self._session.aclose()
        await self._client.delete(self._session)


class Docker(Local):
    """Its containers."""

    def _connect(self) -> Any:
        import docker
        from agents.sandbox.sandboxes.docker import DockerSandboxClient

        return DockerSandboxClient(docker.from_env())

    def _wanted(self) -> Any:
        from agents.sandbox.sandboxes.docker import DockerSandboxClientOptions

        return DockerSandboxClientOptions(
            image=self._options["image"], network_mode="none", labels=self._options["labels"]
        )
