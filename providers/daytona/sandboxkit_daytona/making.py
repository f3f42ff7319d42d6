"""What a request to create is to the SDK."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Mapping
from typing import Any

from daytona import CreateSandboxFromImageParams, CreateSandboxFromSnapshotParams, Resources

from sandboxkit.errors import InvalidRequestError, UnsupportedError
from sandboxkit.provider import CreateRequest

from . import records
from .settings import DaytonaSettings

__all__ = ["OPTIONS", "Params", "name_of", "params"]

Params = CreateSandboxFromImageParams | CreateSandboxFromSnapshotParams

OPTIONS = ("public", "auto_archive_interval", "queue_timeout", "linked_sandbox", "kvm", "spot")
"""What ``provider_options`` may hold: what Daytona has and nobody else."""

MOST_NETWORKS = 10
GIB = 1 << 30


def name_of(nonce: str) -> str:
    """What the sandbox of a request is called; a name is Daytona's only key against doubles."""
    return f"sandboxkit-{nonce}"


def params(request: CreateRequest, settings: DaytonaSettings) -> Params:
    """The parameters of the SDK's ``create``.

    Raises:
        InvalidRequestError: an option is not known.
        UnsupportedError: Daytona cannot do it.
    """
    options = {name: value for name, value in request.options.items() if name != "template"}
    for name in options:
        if name not in OPTIONS:
            raise InvalidRequestError(
                f"create: the option {name!r} means nothing to daytona; it has {', '.join(OPTIONS)}"
            )
    ends = None if request.lifetime is None else time.time() + request.lifetime
    common: dict[str, Any] = {
        "name": name_of(request.nonce),
        "os_user": settings.guest_user or None,
        "env_vars": dict(request.env),
        "labels": records.labels(request, _shell(request)),
        "ttl_minutes": records.minutes(None, ends),
        "auto_stop_interval": 0,  # what runs in the background is idle to Daytona
        "auto_delete_interval": -1,
        **_network(request),
        **options,
    }
    if settings.sandbox_class == "linux-vm":
        common["auto_pause_interval"] = 0
    if request.image is not None:
        image = CreateSandboxFromImageParams(image=request.image, **common)
        image.resources = _resources(request)
        return image
    if request.cpu or request.memory or request.disk:
        raise UnsupportedError(
            "on Daytona a snapshot says what its sandboxes have; cpu, memory and disk are for an"
            " image",
            capability="limit_memory",
            provider="daytona",
            hint="create(image=...), or a snapshot with these resources",
        )
    return CreateSandboxFromSnapshotParams(snapshot=_snapshot(request, settings), **common)


def _snapshot(request: CreateRequest, settings: DaytonaSettings) -> str | None:
    if request.snapshot is not None:
        return request.snapshot
    if isinstance(request.options.get("template"), Mapping):
        raise UnsupportedError(
            "templates are not built on Daytona from here: make a snapshot there, and name it",
            capability="images",
            provider="daytona",
            hint='daytona snapshot create, then daytona = "NAME" under [templates.NAME]',
        )
    return request.template or settings.snapshot


def _shell(request: CreateRequest) -> str:
    recipe = request.options.get("template")
    return str(recipe.get("shell") or "") if isinstance(recipe, Mapping) else ""


def _resources(request: CreateRequest) -> Resources | None:
    found = Resources(
        cpu=None if request.cpu is None else math.ceil(request.cpu),
        memory=_gib(request.memory),
        disk=_gib(request.disk),
    )
    return None if found == Resources() else found


def _gib(size: int | None) -> int | None:
    """A size as Daytona counts it: whole GiB, so that it is never less than was asked for."""
    return None if size is None else math.ceil(size / GIB)


def _network(request: CreateRequest) -> dict[str, Any]:
    if not isinstance(request.network, tuple):
        return {"network_block_all": request.network == "none"}
    networks = [one for one in request.network if _is_network(one)]
    domains = [one for one in request.network if not _is_network(one)]
    if any(":" in one for one in networks) or len(networks) > MOST_NETWORKS:
        raise UnsupportedError(
            f"Daytona allows at most {MOST_NETWORKS} networks, of IPv4",
            capability="network_rules",
            provider="daytona",
        )
    return {
        "network_block_all": False,
        "network_allow_list": ",".join(map(_with_length, networks)) or None,
        "domain_allow_list": ",".join(domains) or None,
    }


def _is_network(host: str) -> bool:
    try:
        ipaddress.ip_network(host, strict=False)
    except ValueError:
        return False
    return True


def _with_length(network: str) -> str:
    return str(ipaddress.ip_network(network, strict=False))
