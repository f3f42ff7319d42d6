"""The images that sandboxes start from: found, or pulled."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiodocker.exceptions import DockerStreamError

from sandboxkit.errors import (
    AuthenticationError,
    RateLimitError,
    SandboxError,
    TemplateNotFoundError,
)

from . import records
from .engine import Engine
from .errors import Absent
from .progress import Progress

__all__ = ["Image", "Images", "Origin"]

_log = logging.getLogger(__name__)

_REMEMBERED = 256


class Image(NamedTuple):
    """An image that is there.

    Attributes:
        id: the engine's, ``sha256:...``.
        reference: how it was asked for.
        user: whom it says commands run as; empty if it does not say.
        labels: what it carries.
        size: bytes, with all below it.
    """

    id: str
    reference: str
    user: str
    labels: Mapping[str, str]
    size: int


class Origin(NamedTuple):
    """What a container is made from.

    Attributes:
        image: an image's id, or a name, which the engine looks up as it makes the container.
        reference: how it was asked for.
    """

    image: str
    reference: str


class Images:
    """An engine's images.

    Args:
        engine: where.
        pull: whether a missing one is pulled.
    """

    def __init__(self, engine: Engine, pull: bool) -> None:
        self._engine = engine
        self._pull = pull
        self._known: dict[str, Image] = {}

    async def have(self, reference: str) -> Image:
        """An image, pulled if it is missing.

        Raises:
            TemplateNotFoundError: it is nowhere.
        """
        found = await self.find(reference)
        if found is None:
            await self._fetch(reference)
            found = await self.find(reference)
        if found is None:
            raise TemplateNotFoundError(
                f"the engine has no image {reference!r}", hint="docker images"
            )
        return found

    async def find(self, reference: str) -> Image | None:
        """An image, if the engine has it."""
        try:
            shown = await self._engine.call(
                "create", self._engine.sdk.images.inspect(reference), sent=False
            )
        except Absent:
            return None
        config: dict[str, Any] = shown.get("Config") or {}
        labels: dict[str, str] = config.get("Labels") or {}
        return Image(
            shown["Id"],
            reference,
            records.image_user(labels, config.get("User") or ""),
            labels,
            shown["Size"],
        )

    async def below(self, container_id: str, reference: str) -> Image:
        """The image that a container was made from, whatever its name may mean by now.

        Raises:
            TemplateNotFoundError: it was removed meanwhile.
        """
        image_id = (await self._engine.inspect(container_id))["Image"]
        known = self._known.get(image_id)
        if known is None:
            known = await self.find(image_id)
            if known is None:
                raise TemplateNotFoundError(
                    f"image {reference!r} was removed meanwhile", hint="docker images"
                )
            # Its id is a digest of all that is said here.
            self._known[image_id] = known
            if len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
        return known

    async def _fetch(self, reference: str) -> None:
        if not self._pull:
            raise TemplateNotFoundError(
                f"the engine at {self._engine.endpoint} has no image {reference!r}, and this "
                "profile pulls none (pull = false)",
                hint=f"docker pull {reference}",
            )
        _log.info("pulling %s", reference)
        try:
            with Progress(f"pulling {reference}") as progress, self._engine.translated("create"):
                async for item in self._engine.sdk.images.pull(reference, stream=True):
                    progress.say(_shown(item))
        except (AuthenticationError, RateLimitError):
            raise
        except SandboxError as error:
            raise _not_to_be_had(self._engine, reference, error) from error


def _shown(item: Mapping[str, Any]) -> str:
    detail = item.get("progressDetail") or {}
    if detail.get("total"):
        done, total = detail.get("current", 0) >> 20, detail["total"] >> 20
        return f"{item.get('id', '')} {item.get('status', '')} {done} of {total} MiB"
    return str(item.get("status", ""))


def _not_to_be_had(engine: Engine, reference: str, error: SandboxError) -> SandboxError:
    reason = error.__cause__
    message = reason.message if isinstance(reason, DockerStreamError) else error.message
    return TemplateNotFoundError(
        f"the engine at {engine.endpoint} has no image {reference!r} and cannot pull it: {message}",
        hint=f"docker pull {reference}",
    )
