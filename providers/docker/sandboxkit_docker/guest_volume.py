"""The volume with the guest on an engine: made once, by whoever needs it first.

A volume is there before it is full, and can neither be renamed nor labelled later. So it is filled
under a name of its own, and then published by a second, empty volume whose name everybody knows and
whose label says where the full one is. The engine makes a volume of a given name only once: of
several who fill one at a time, one wins, and the others remove theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import secrets
import tarfile
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiodocker.volumes import DockerVolume

from sandboxkit.errors import ProviderUnavailableError, SandboxError

from . import guest_files, guest_leftovers, places
from .engine import Engine
from .errors import Absent, Conflict
from .guest_leftovers import CONTENT, GUEST_CONTENT, GUEST_HOLDER, GUEST_IMAGE
from .images import Image
from .records import KIND

__all__ = ["GuestVolume"]

_NAME = "sandboxkit-guest"

_log = logging.getLogger(__name__)

# What was found, by engine and well-known name. It may be gone since: see `GuestVolume.forget`.
_found: dict[tuple[str, str], str] = {}


class GuestVolume:
    """Finds the volume, or makes it.

    Args:
        engine: where.
        guest_image: an image with Python, for engines on which this machine's does not run.
        have_image: sees to it that an image is there.
    """

    def __init__(
        self, engine: Engine, guest_image: str, have_image: Callable[[str], Awaitable[Image]]
    ) -> None:
        self._engine = engine
        self._guest_image = guest_image
        self._have_image = have_image
        self._making: asyncio.Task[str] | None = None

    async def name(self) -> str:
        """The volume's name, once it is there in full; concurrent callers share one attempt.

        Raises:
            ProviderUnavailableError: there is no interpreter that would run there.
        """
        found = _found.get(self._key)
        if found is None:
            if self._making is None or self._making.done():
                self._making = asyncio.get_running_loop().create_task(self._find_or_make())
            found = _found[self._key] = await asyncio.shield(self._making)
        return found

    async def forget(self) -> None:
        """It has turned out not to be there after all: unpublish it, so that it is made again."""
        # The engine has made an empty one of that name for the container that was to have it.
        self._making = None
        for name in (_published_name(), _found.pop(self._key, "")):
            if not name:
                continue
            with contextlib.suppress(Absent, Conflict):
                await self._engine.call("create", self._volume(name).delete())

    async def aclose(self) -> None:
        """Give up what is being made. Idempotent."""
        making, self._making = self._making, None
        if making is not None and not making.done():
            making.cancel()
            await asyncio.wait([making])

    @property
    def _key(self) -> tuple[str, str]:
        return self._engine.endpoint, _published_name()

    async def _find_or_make(self) -> str:
        found = await self._published()
        if found:
            return found
        _log.info("bringing the guest to the engine at %s, once", self._engine.endpoint)
        own = f"{_NAME}-{guest_files.digest()}-{secrets.token_hex(6)}"
        try:
            await self._create(own, guest_leftovers.labels(GUEST_CONTENT))
            await self._fill(own)
            await self._create(_published_name(), {KIND: "guest", CONTENT: own})
            found = await self._published()
            await guest_leftovers.sweep(self._engine)
        finally:
            if found != own:
                with contextlib.suppress(SandboxError):
                    await self._engine.call("create", self._volume(own).delete())
        return found

    async def _published(self) -> str:
        try:
            shown = await self._engine.call(
                "create", self._volume(_published_name()).show(), sent=False
            )
        except Absent:
            return ""
        content = (shown.get("Labels") or {}).get(CONTENT, "")
        try:
            await self._engine.call("create", self._volume(content).show(), sent=False)
        except Absent:
            await self.forget()
            return ""
        return str(content)

    async def _fill(self, volume: str) -> None:
        version = await self._engine.call("create", self._engine.sdk.version(), sent=False)
        if not guest_files.fits(version["Os"], version["Arch"]):
            await self._fill_from_image(volume)
            return
        with tempfile.TemporaryFile() as archive:
            interpreter = await asyncio.to_thread(guest_files.this_interpreter)
            await asyncio.to_thread(guest_files.pack, interpreter, archive)
            archive.seek(0)
            image = await self._empty_image()
            async with _holder(self._engine, image, volume, places.BUNDLING) as container:
                await self._engine.put_archive(container, places.GUEST, archive)
                await self._run(container, "this machine's Python does not run there")
            with contextlib.suppress(Conflict, Absent):  # another's holder may still be using it
                await self._engine.call("create", self._engine.sdk.images.delete(image))

    async def _fill_from_image(self, volume: str) -> None:
        """Let a Python of the engine's own kind copy itself, where this machine's does not run."""
        image = await self._have_image(self._guest_image)
        script = guest_files.collect_script()
        command = ["python3", "-I", "-S", "-c", script, places.GUEST, *places.BUNDLING]
        with tempfile.TemporaryFile() as archive:
            await asyncio.to_thread(guest_files.pack_agent, archive)
            archive.seek(0)
            async with _holder(self._engine, image.id, volume, command) as container:
                await self._engine.put_archive(container, places.GUEST, archive)
                reason = f"image {self._guest_image!r} gives the guest no Python"
                await self._run(container, reason)

    async def _run(self, container_id: str, failing: str) -> None:
        container = self._engine.container(container_id)
        try:
            await self._engine.call("create", container.start())
        except SandboxError as error:  # it has no such program
            raise _no_python(failing, error.message) from error
        ended = await self._engine.call("create", container.wait())
        if ended["StatusCode"]:
            said = await self._engine.call("create", container.log(stdout=True, stderr=True))
            raise _no_python(failing, "".join(said)[-500:])

    async def _empty_image(self) -> str:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w"):
            pass
        return await self._engine.import_image(
            archive.getvalue(),
            f"{_NAME}:{secrets.token_hex(6)}",
            guest_leftovers.labels(GUEST_IMAGE),
        )

    async def _create(self, name: str, labels: Mapping[str, str]) -> None:
        config = {"Name": name, "Labels": dict(labels)}
        await self._engine.call("create", self._engine.sdk.volumes.create(config))

    def _volume(self, name: str) -> Any:
        volume: Any = DockerVolume
        return volume(self._engine.sdk, name)


@contextlib.asynccontextmanager
async def _holder(
    engine: Engine, image: str, volume: str, command: Sequence[str]
) -> AsyncIterator[str]:
    """A container to reach a volume through, and what it does there once it is started."""
    config = {
        "Image": image,
        "Entrypoint": [],
        "Cmd": list(command),
        "User": "0:0",
        "Labels": guest_leftovers.labels(GUEST_HOLDER),
        "NetworkDisabled": True,
        "HostConfig": {"Mounts": [{"Type": "volume", "Source": volume, "Target": places.GUEST}]},
    }
    container = await engine.create_container(f"{volume}-holder", config)
    try:
        yield container
    finally:
        await engine.remove(container)


def _no_python(failing: str, reason: str) -> ProviderUnavailableError:
    return ProviderUnavailableError(
        f"{failing}: {reason}",
        hint="name an image with Python 3.8 or later in the setting guest_image",
    )


def _published_name() -> str:
    return f"{_NAME}-{guest_files.digest()}"
