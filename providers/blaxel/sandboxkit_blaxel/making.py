"""What a request to create is to the SDK."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sandboxkit.errors import InvalidRequestError, UnsupportedError
from sandboxkit.provider import CreateRequest

from . import records, sdk
from .settings import BlaxelSettings

__all__ = ["OPTIONS", "env_of", "image_of", "sandbox", "shell_of"]

OPTIONS = ("region", "network", "ttl_idle")
"""What ``provider_options`` may hold: what Blaxel has and nobody else."""


def sandbox(request: CreateRequest, settings: BlaxelSettings) -> sdk.Sandbox:
    """The sandbox to be made.

    Raises:
        InvalidRequestError: an option is not known.
        UnsupportedError: Blaxel cannot do it.
    """
    options = {name: value for name, value in request.options.items() if name != "template"}
    for name in options:
        if name not in OPTIONS:
            raise InvalidRequestError(
                f"create: the option {name!r} means nothing to blaxel; it has {', '.join(OPTIONS)}"
            )
    runtime = sdk.SandboxRuntime(image=image_of(request, settings), envs=env_of(request))
    if request.memory is not None:
        runtime.memory = math.ceil(request.memory / (1 << 20))
    spec = sdk.SandboxSpec(
        runtime=runtime, lifecycle=records.lifecycle(request.lifetime, options.get("ttl_idle"))
    )
    region = options.get("region") or settings.region
    if region:
        spec.region = region
    if network := options.get("network"):
        if not isinstance(network, Mapping):
            raise InvalidRequestError("create: the option network is a table, as Blaxel has it")
        spec.network = sdk.SandboxNetwork.from_dict(network) or sdk.UNSET
    kept = sdk.MetadataLabels.from_dict(records.labels(request, shell_of(request)))
    name = records.name_for(request.nonce)
    return sdk.Sandbox(metadata=sdk.Metadata(name=name, labels=kept or sdk.UNSET), spec=spec)


def image_of(request: CreateRequest, settings: BlaxelSettings) -> str:
    """The image to start from.

    Raises:
        UnsupportedError: it would have to be built.
    """
    recipe = request.options.get("template")
    if isinstance(recipe, Mapping):
        raise UnsupportedError(
            "templates are not built on Blaxel from here: build it there, and name it",
            capability="images",
            provider="blaxel",
            hint='bl deploy, then blaxel = "IMAGE" under [templates.NAME]',
        )
    return request.template or settings.image


def env_of(request: CreateRequest) -> list[sdk.Env]:
    """Its variables."""
    return [sdk.Env(name=name, value=value) for name, value in request.env.items()]


def shell_of(request: CreateRequest) -> str:
    """The shell that the template names; empty if none."""
    recipe = request.options.get("template")
    return str(recipe.get("shell") or "") if isinstance(recipe, Mapping) else ""
