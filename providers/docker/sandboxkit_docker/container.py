"""What a sandbox's container is like: from a request to the engine's configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sandboxkit.capabilities import Isolation
from sandboxkit.errors import InvalidRequestError, UnsupportedError
from sandboxkit.provider import CreateRequest

from . import places
from .settings import DockerSettings

__all__ = [
    "CAPABILITIES_KEPT",
    "DEFAULT_PIDS",
    "check",
    "configuration",
    "guest_mount",
    "isolation_of",
    "runtime_of",
]

CAPABILITIES_KEPT = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETPCAP",
    "SETUID",
)
"""What the guest needs to act as any user of the sandbox, and to keep it all to itself."""

DEFAULT_PIDS = 1024
_MIN_MEMORY = 6 << 20  # the engine's own
_NANO = 1_000_000_000
_OPTIONS = frozenset({"template", "runtime"})

_USER_KERNELS = ("runsc", "gvisor")
_MACHINES = ("kata", "firecracker")


def isolation_of(runtime: str | None) -> Isolation:
    """How well an engine's runtime keeps sandboxes apart, by its name."""
    name = (runtime or "").lower()
    if any(part in name for part in _USER_KERNELS):
        return "user-kernel"
    if any(part in name for part in _MACHINES):
        return "microvm"
    return "container"


def check(request: CreateRequest) -> None:
    """Refuse what no engine could do, before it is asked for anything.

    Raises:
        InvalidRequestError: a value is wrong.
        UnsupportedError: a capability is missing.
    """
    unknown = request.options.keys() - _OPTIONS
    if unknown:
        raise InvalidRequestError(f"unknown options: {', '.join(sorted(unknown))}")
    if request.on_timeout == "pause":
        raise UnsupportedError("an engine pauses nothing by itself", capability="pause_on_timeout")
    if request.memory is not None and request.memory < _MIN_MEMORY:
        raise InvalidRequestError(f"memory={request.memory}: the engine wants 6 MiB or more")


def configuration(
    request: CreateRequest,
    settings: DockerSettings,
    *,
    image: str,
    labels: Mapping[str, str],
    volume: str,
    run: str | None,
    proxy: str | None = None,
    storage: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The body of the engine's call to create a container.

    Args:
        request: checked.
        settings: of the profile.
        image: what it starts from.
        labels: all of them.
        volume: the one with the guest.
        run: a directory of the host's for the guest's socket, if the engine sees one.
        proxy: the container of its egress proxy, if it has one.
        storage: options of the engine's storage driver.
    """
    return {
        "Image": image,
        "Entrypoint": places.COMMAND,
        "Cmd": [],
        "User": "0:0",
        "Labels": dict(labels),
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGKILL",
        "HostConfig": {
            "AutoRemove": True,
            "Mounts": list(_mounts(volume, run)),
            "NetworkMode": settings.network if request.network == "full" else "none",
            "CapDrop": ["ALL"],
            "CapAdd": list(CAPABILITIES_KEPT),
            "SecurityOpt": ["no-new-privileges"],
            # A command's output goes to clients; the engine would keep it without a bound.
            "LogConfig": {"Type": "none"},
            "RestartPolicy": {"Name": "no"},
            **_limits(request),
            **({"StorageOpt": dict(storage)} if storage else {}),
            **_runtime(request, settings),
            # Read-only, so that nothing inside can fill it; a socket there can be connected to
            # all the same.
            **({} if proxy is None else {"VolumesFrom": [f"{proxy}:ro"]}),
        },
    }


def runtime_of(request: CreateRequest, settings: DockerSettings) -> str | None:
    """The engine's runtime for a request; ``None`` is the engine's default."""
    chosen = request.options.get("runtime", settings.runtime)
    return None if chosen is None else str(chosen)


def _runtime(request: CreateRequest, settings: DockerSettings) -> dict[str, Any]:
    chosen = runtime_of(request, settings)
    return {} if chosen is None else {"Runtime": chosen}


def guest_mount(volume: str) -> dict[str, Any]:
    """The guest and its interpreter, as a container sees them."""
    return {
        "Type": "volume",
        "Source": volume,
        "Target": places.GUEST,
        "ReadOnly": True,
        "VolumeOptions": {"NoCopy": True},
    }


def _mounts(volume: str, run: str | None) -> Iterator[dict[str, Any]]:
    yield guest_mount(volume)
    if run is not None:
        yield {"Type": "bind", "Source": run, "Target": places.RUN}


def _limits(request: CreateRequest) -> dict[str, Any]:
    limits: dict[str, Any] = {"PidsLimit": request.pids or DEFAULT_PIDS}
    if request.cpu is not None:
        limits["NanoCpus"] = round(request.cpu * _NANO)
    if request.memory is not None:
        limits["Memory"] = limits["MemorySwap"] = request.memory
    return limits
