"""The way out of a sandbox that may reach some hosts only: a second container, with a network.

The sandbox has none. Its guest hands the socket that listens on its loopback to the proxy in the
second container, over a directory that the two share: a volume without a name, which the engine
removes with the last of them. The proxy ends when the guest does, and the engine then removes it.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Mapping
from typing import Any

from sandboxkit.egress import outlet
from sandboxkit.errors import (
    InvalidRequestError,
    ProviderUnavailableError,
    SandboxError,
    UnsupportedError,
)
from sandboxkit.provider import CreateRequest

from . import container, nothing, places, records
from .engine import Engine
from .launch import launch
from .records import KIND
from .settings import DockerSettings

__all__ = ["Egress", "check", "has_rules", "variables"]

_HOST = "host.docker.internal"
_MEMORY = 256 << 20
_PIDS = 64


def check(request: CreateRequest, settings: DockerSettings) -> None:
    """Refuse rules where a socket cannot be handed from one container to another.

    Raises:
        UnsupportedError: the runtime gives each a kernel of its own.
    """
    runtime = container.runtime_of(request, settings)
    if has_rules(request) and container.isolation_of(runtime) != "container":
        raise UnsupportedError(
            f"with the runtime {runtime!r} a sandbox's network cannot be limited to named hosts; "
            'leave the runtime out, or say network="none"',
            capability="network_rules",
            provider="docker",
        )


def has_rules(request: CreateRequest) -> bool:
    """Whether a sandbox needs a proxy."""
    return request.network not in ("none", "full")


def variables(request: CreateRequest) -> Mapping[str, str]:
    """What tells programs inside of the proxy."""
    return outlet.variables() if has_rules(request) else {}


class Egress:
    """The proxies on one engine.

    Args:
        engine: which.
        settings: of the profile.
    """

    def __init__(self, engine: Engine, settings: DockerSettings) -> None:
        self._engine = engine
        self._settings = settings

    async def make(self, request: CreateRequest, volume: str) -> str | None:
        """The id of a new proxy's container, not started yet; ``None`` if there are no rules.

        Args:
            request: what the sandbox may reach.
            volume: the one with the guest, which has the proxy too.
        """
        if not has_rules(request):
            return None
        name = f"sandboxkit-egress-{records.token(request.nonce)}-{secrets.token_hex(4)}"
        config = self._configuration(request, volume)
        return await nothing.create(self._engine, name, config, self.end)

    async def start(self, proxy: str | None, request: CreateRequest) -> None:
        """Start it; returns when it waits for the guest.

        Raises:
            ProviderUnavailableError: it does not.
        """
        if proxy is None:
            return

        async def orders() -> Mapping[str, Any]:
            return {"rules": list(request.network), "patience": request.create_timeout}

        try:
            await launch(self._engine, proxy, orders)
        except InvalidRequestError as error:  # the request is not what is wrong
            raise ProviderUnavailableError(f"the egress proxy: {error.message}") from error

    async def end(self, proxy: str | None) -> None:
        """Remove it, which the end of its sandbox does by itself in a moment. Idempotent."""
        if proxy:
            with contextlib.suppress(SandboxError):
                await self._engine.remove(proxy)

    async def sweep(self) -> None:
        """Remove those that were never started, by clients that died meanwhile."""
        for item in await self._engine.list_containers({KIND: "egress"}):
            if item["State"] == "created" and records.is_abandoned(item["Labels"]):
                await self.end(item["Id"])

    def _configuration(self, request: CreateRequest, volume: str) -> dict[str, Any]:
        labels = records.helper_labels(request, "egress")
        hosts = [f"{_HOST}:host-gateway"]
        if self._engine.is_local:  # then this machine's name is not the container's
            hosts.append(f"{socket.gethostname()}:host-gateway")
        shared = {
            "Type": "volume",
            "Target": places.OUTLET,
            "VolumeOptions": {"NoCopy": True, "Labels": labels},
        }
        return {
            "Image": nothing.IMAGE,
            "Entrypoint": places.PROXY,
            "Cmd": [],
            "User": "0:0",
            "Labels": labels,
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "HostConfig": {
                "AutoRemove": True,
                "Mounts": [container.guest_mount(volume), shared],
                "NetworkMode": self._settings.network,
                "ExtraHosts": hosts,
                "ReadonlyRootfs": True,
                "CapDrop": ["ALL"],
                "CapAdd": ["SETGID", "SETUID"],  # to become an ordinary user
                "SecurityOpt": ["no-new-privileges"],
                "PidsLimit": _PIDS,
                "Memory": _MEMORY,
                "MemorySwap": _MEMORY,
                "LogConfig": {"Type": "none"},
                "RestartPolicy": {"Name": "no"},
            },
        }
