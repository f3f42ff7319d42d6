"""Building images from recipes; what was built once is found again by its content."""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import os
import shlex
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

from aiodocker.exceptions import DockerStreamError

from sandboxkit.errors import InvalidRequestError, SandboxError

from . import dockerignore
from .engine import Engine
from .images import Image, Images
from .progress import Progress
from .records import KIND

__all__ = ["Builds"]

_REPOSITORY = "sandboxkit-template"
_KEYS = frozenset({"dockerfile", "copies", "directory", "pip", "image", "preload", "shell"})
_PIP = "PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore python3 -m pip install"

_log = logging.getLogger(__name__)


class _Recipe(NamedTuple):
    dockerfile: str
    copies: Mapping[str, str]
    directory: str | None


class Builds:
    """The images of one engine that are made here.

    Args:
        engine: where.
        images: sees to it that the image below is there.
        default_image: the image below, if none is named.
    """

    def __init__(self, engine: Engine, images: Images, default_image: str) -> None:
        self._engine = engine
        self._images = images
        self._default_image = default_image

    async def have(self, given: Mapping[str, Any]) -> Image:
        """The image of a recipe, built if it is missing.

        Args:
            given: ``dockerfile`` with ``copies`` or ``directory``; or ``pip`` with ``image``.

        Raises:
            InvalidRequestError: the recipe is wrong, or one of its steps failed.
        """
        recipe = self._recipe(given)
        below = await self._below(recipe)
        with tempfile.TemporaryFile() as context:
            digest = await asyncio.to_thread(_pack, recipe, below, context)
            reference = f"{_REPOSITORY}:{digest}"
            found = await self._images.find(reference)
            if found is None:
                context.seek(0)
                await self._build(reference, context)
                found = await self._images.have(reference)
        return found

    def _recipe(self, given: Mapping[str, Any]) -> _Recipe:
        unknown = given.keys() - _KEYS
        if unknown:
            raise InvalidRequestError(
                f"a template for docker has no {', '.join(sorted(unknown))}; it knows "
                f"{', '.join(sorted(_KEYS))}"
            )
        if "dockerfile" in given:
            return _Recipe(given["dockerfile"], given.get("copies") or {}, given.get("directory"))
        lines = [f"FROM {given.get('image') or self._default_image}"]
        if given.get("pip"):
            lines.append(f"RUN {_PIP} --no-cache-dir {' '.join(map(_quoted, given['pip']))}")
        return _Recipe("\n".join((*lines, "")), {}, None)

    async def _below(self, recipe: _Recipe) -> str:
        """The ids of the images that the Dockerfile begins with, which are part of its content."""
        names = [
            words[1]
            for words in (line.split() for line in recipe.dockerfile.splitlines())
            if len(words) > 1 and words[0].upper() == "FROM" and "$" not in words[1]
        ]
        found = [await self._images.find(name) for name in names]
        return " ".join(image.id for image in found if image is not None)

    async def _build(self, reference: str, context: IO[bytes]) -> None:
        _log.info("building %s", reference)
        step = ""
        output: list[str] = []
        with Progress(f"building {reference}") as progress, self._engine.translated("create"):
            building = self._engine.sdk.images.build(
                fileobj=context,
                encoding="identity",
                tag=reference,
                labels={KIND: "template"},
                forcerm=True,
                stream=True,
            )
            try:
                async for item in building:
                    said = str(item.get("stream", item.get("status", ""))).strip()
                    if said.startswith("Step "):
                        step, output = said, []
                    elif said:
                        output.append(said)
                    progress.say(said)
            except DockerStreamError as error:
                raise _failed(step, output, str(error)) from error


def _failed(step: str, output: Sequence[str], reason: str) -> SandboxError:
    tail = "\n".join(output)[-1500:]
    return InvalidRequestError(f"the template cannot be built: {step}: {reason}\n{tail}".strip())


def _quoted(name: object) -> str:
    return shlex.quote(str(name))


def _pack(recipe: _Recipe, below: str, into: IO[bytes]) -> str:
    """Write the build's context as a tar file; returns the digest of all that matters of it."""
    digest = hashlib.sha256(f"{below}\0{recipe.dockerfile}\0".encode())
    with tarfile.open(fileobj=into, mode="w") as archive:
        if recipe.directory is None:
            content = recipe.dockerfile.encode()
            info = tarfile.TarInfo("Dockerfile")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, path in _files(recipe):
            info = archive.gettarinfo(path, arcname=name)
            # Who owns it here and when it was written is no part of what is built.
            info.uid = info.gid = info.mtime = 0
            info.uname = info.gname = ""
            digest.update(f"{name}\0{info.mode}\0{info.linkname}\0".encode())
            if info.isreg():
                with open(path, "rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
                    file.seek(0)
                    archive.addfile(info, file)
            else:
                archive.addfile(info)
    return digest.hexdigest()[:24]


def _files(recipe: _Recipe) -> Iterator[tuple[str, str]]:
    if recipe.directory is not None:
        goes_along = dockerignore.reader(recipe.directory)
        for name, path in _tree("", recipe.directory):
            if goes_along(name):
                yield name, path
    for name, path in recipe.copies.items():
        if os.path.isdir(path) and not os.path.islink(path):
            yield name, path
            yield from _tree(f"{name}/", path)
        else:
            yield name, os.path.realpath(path)


def _tree(prefix: str, top: str) -> Iterator[tuple[str, str]]:
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted((*folders, *names)):
            path = os.path.join(folder, name)
            yield prefix + os.path.relpath(path, top), path
