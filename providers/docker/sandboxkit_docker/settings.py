"""What a profile may say to the docker provider."""

from __future__ import annotations

import os

from pydantic import Field

from sandboxkit.provider import ProviderSettings

__all__ = ["DEFAULT_IMAGE", "IMAGE_VARIABLE", "DockerSettings"]

DEFAULT_IMAGE = "python:3.13-slim"


IMAGE_VARIABLE = "SANDBOXKIT_DOCKER_IMAGE"
"""Names the default image, such as one that can be had without a registry."""


def _default_image() -> str:
    return os.environ.get(IMAGE_VARIABLE) or DEFAULT_IMAGE


def _host() -> str | None:
    return os.environ.get("DOCKER_HOST") or None


class DockerSettings(ProviderSettings):
    """Which engine, and what its containers are like.

    Attributes:
        host: the engine, such as ``unix:///var/run/docker.sock``, ``tcp://10.0.0.5:2376`` or
            ``ssh://me@example.org``; else ``DOCKER_HOST``, the current context, or the usual
            sockets.
        default_image: what sandboxes start from when neither a template nor an image is named;
            else what ``SANDBOXKIT_DOCKER_IMAGE`` says, else Docker's own image of Python.
        guest_image: an image with Python 3.8 or later, from which the guest's interpreter is taken
            where this machine's own cannot run on the engine.
        pull: whether an image that the engine lacks is pulled.
        runtime: the engine's runtime, such as ``runsc`` (gVisor) or ``kata``; else its default.
        network: the engine's network that ``network="full"`` means.
    """

    host: str | None = Field(default_factory=_host)
    default_image: str = Field(default_factory=_default_image)
    guest_image: str = DEFAULT_IMAGE
    pull: bool = True
    runtime: str | None = None
    network: str = "bridge"
