"""What a request to create is to the SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandboxkit.errors import InvalidRequestError, UnsupportedError
from sandboxkit.provider import CreateRequest

from . import records
from .settings import E2BSettings

__all__ = ["OPTIONS", "arguments", "template_of"]

OPTIONS = ("auto_resume", "pause_mode", "network", "iam", "volume_mounts")
"""What ``provider_options`` may hold: what E2B has and nobody else."""

_EVERYTHING = "0.0.0.0/0"


def arguments(request: CreateRequest, settings: E2BSettings) -> dict[str, Any]:
    """The arguments of the SDK's ``create``.

    Raises:
        InvalidRequestError: an option is not known.
        UnsupportedError: E2B cannot do it.
    """
    options = {name: value for name, value in request.options.items() if name != "template"}
    for name in options:
        if name not in OPTIONS:
            raise InvalidRequestError(
                f"create: the option {name!r} means nothing to e2b; it has {', '.join(OPTIONS)}"
            )
    made = {
        "template": template_of(request, settings),
        "timeout": records.seconds(request.lifetime),
        "metadata": records.metadata(request, _shell(request)),
        "envs": dict(request.env),
        "lifecycle": _lifecycle(request, options),
        "idempotency_key": request.nonce,
        **_network(request, options.get("network") or {}),
    }
    made.update({name: options[name] for name in ("iam", "volume_mounts") if name in options})
    return made


def template_of(request: CreateRequest, settings: E2BSettings) -> str:
    """The template or snapshot to start from.

    Raises:
        UnsupportedError: it would have to be built.
    """
    if request.snapshot is not None:
        return request.snapshot
    recipe = request.options.get("template")
    if isinstance(recipe, Mapping):
        raise UnsupportedError(
            "templates are not built on E2B from here: build it there, and name it",
            capability="images",
            provider="e2b",
            hint='e2b template build, then e2b = "NAME" under [templates.NAME]',
        )
    return request.template or settings.template


def _shell(request: CreateRequest) -> str:
    recipe = request.options.get("template")
    return str(recipe.get("shell") or "") if isinstance(recipe, Mapping) else ""


def _lifecycle(request: CreateRequest, options: Mapping[str, Any]) -> dict[str, Any]:
    pauses = request.on_timeout == "pause"
    if not pauses and (options.get("auto_resume") or options.get("pause_mode")):
        raise InvalidRequestError(
            "create: auto_resume and pause_mode are for on_timeout='pause'", provider="e2b"
        )
    action: Any = request.on_timeout
    if "pause_mode" in options:
        action = {"action": "pause", "mode": options["pause_mode"]}
    lifecycle: dict[str, Any] = {"on_timeout": action}
    if pauses:
        # What talks to a paused sandbox is told so, unless waking it was asked for.
        lifecycle["auto_resume"] = bool(options.get("auto_resume", False))
    return lifecycle


def _network(request: CreateRequest, extra: Any) -> dict[str, Any]:
    if not isinstance(extra, Mapping) or {"allow_out", "deny_out"} & set(extra):
        raise InvalidRequestError(
            "create: the option network holds what create(network=...) cannot say, such as "
            "allow_public_traffic, rules or https_ports",
            provider="e2b",
        )
    if isinstance(request.network, tuple):
        network = {**extra, "allow_out": list(request.network), "deny_out": [_EVERYTHING]}
        return {"network": network}
    reachable = {"allow_internet_access": request.network == "full"}
    return {**reachable, "network": dict(extra)} if extra else reachable
