"""One engine: where it is, and every call to it, with its errors as ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import IO, Any, TypeVar

import aiohttp
from aiodocker import Docker
from aiodocker.containers import DockerContainer
from aiodocker.exceptions import DockerError
from aiodocker.stream import Stream
from yarl import URL

from sandboxkit.errors import ConfigError, SandboxError

from . import tls
from .errors import Absent, Conflict, translated
from .location import locate, without_password
from .ssh import SshConnector

__all__ = ["Engine"]

T = TypeVar("T")

_PORT, _TLS_PORT = 2375, 2376  # where engines listen that were not told otherwise

_inherited: list[Docker] = []
_versions: dict[str, str] = {}  # of the interface, by endpoint: each is asked for it once


class _Docker(Docker):
    """The SDK's client, which nobody need close where it has nothing open."""

    def __del__(self) -> None:
        session = getattr(self, "session", None)
        if session is not None and isinstance(session.connector, aiohttp.UnixConnector):
            session.detach()


async def _closed_in_the_end(sdk: Docker) -> None:
    """Close it when the loop ends, also where nobody closes anything; until then, wait."""
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await _close(sdk)


async def _close(sdk: Docker) -> None:
    await sdk.close()
    await sdk.connector.close()
    if isinstance(sdk.connector, SshConnector):
        await sdk.connector.hang_up()


class Engine:
    """The calls this provider makes. A forked child gets connections of its own.

    Args:
        host: as `DockerSettings.host`.

    Attributes:
        endpoint: where the engine is, for people.
        is_local: whether it may see this machine's files: it is reached over a unix socket.
    """

    def __init__(self, host: str | None) -> None:
        address, context = locate(host)
        self.endpoint = without_password(address or f"context {context}")
        self.is_local = address is not None and address.startswith("unix://")
        self._address = address
        self._context = context
        self._sdk: Docker | None = None
        self._pid = 0
        self._keeper: asyncio.Task[None] | None = None

    @property
    def sdk(self) -> Any:
        """The SDK's client, whose annotations are not good enough for ours.

        Raises:
            ConfigError: the address or the context is wrong.
        """
        if self._sdk is not None and self._pid != os.getpid():
            # Its connections are shared with the parent; to end them here would disturb it.
            _inherited.append(self._sdk)
            self._sdk = None
        if self._sdk is None:
            self._sdk, self._pid = self._open(), os.getpid()
            if not self.is_local:
                keeping = _closed_in_the_end(self._sdk)
                self._keeper = asyncio.get_running_loop().create_task(keeping)
        return self._sdk

    def _open(self) -> Docker:
        version = _versions.get(self.endpoint, "auto")
        try:
            if self._address is None:
                return _Docker(context=self._context, api_version=version)
            url, connector = _connector(self._address)
            return _Docker(url=url, connector=connector, api_version=version)
        except (ValueError, DockerError) as error:
            raise ConfigError(
                f"the engine's address {self.endpoint!r} is wrong: {error}"
            ) from error

    async def aclose(self) -> None:
        """Hang up. Idempotent."""
        sdk, self._sdk = self._sdk, None
        if sdk is not None and self._pid == os.getpid():
            _versions[self.endpoint] = sdk.api_version
            if self._keeper is None:
                await _close(sdk)
            else:
                self._keeper.cancel()
                await asyncio.wait([self._keeper])

    def translated(self, op: str, *, sent: bool = True) -> contextlib.AbstractContextManager[None]:
        """A ``with`` block in which the SDK's errors become ours."""
        return translated(op, self.endpoint, sent=sent)

    async def call(self, op: str, awaitable: Awaitable[T], *, sent: bool = True) -> T:
        """Await something of the SDK's, with its errors as ours.

        Args:
            op: what it is, for messages.
            awaitable: the call.
            sent: false where doing it twice does no harm, such as for what only reads.
        """
        with self.translated(op, sent=sent):
            return await awaitable

    async def info(self) -> dict[str, Any]:
        """What the engine says of itself."""
        found: dict[str, Any] = await self.call("info", self.sdk.system.info(), sent=False)
        return found

    # -- containers ---------------------------------------------------------------------------

    def container(self, container_id: str) -> DockerContainer:
        """A handle; asks nobody."""
        found: DockerContainer = self.sdk.containers.container(container_id)
        return found

    async def create_container(self, name: str, config: Mapping[str, Any]) -> str:
        """The id of a new container."""
        made = await self.call("create", self.sdk.containers.create(dict(config), name=name))
        return str(made.id)

    async def inspect(self, container_id: str, *, size: bool = False) -> dict[str, Any]:
        """All that is known of a container.

        Args:
            container_id: which.
            size: also ask for ``SizeRw``, the bytes it has written, which takes a look at them.

        Raises:
            Absent: there is none.
        """
        query = {"size": "1"} if size else {}
        return await self.call("inspect", self.container(container_id).show(**query), sent=False)

    async def stats(self, container_id: str) -> dict[str, Any]:
        """What a container uses now, counted once.

        Raises:
            Absent: there is none.
        """
        # The SDK's own method has the engine count twice, a second apart, for what we do not read.
        asking = self.sdk._query_json(
            f"containers/{container_id}/stats", params={"stream": "0", "one-shot": "1"}
        )
        found: dict[str, Any] = await self.call("metrics", asking, sent=False)
        return found

    async def list_containers(self, labels: Mapping[str, str | None]) -> list[dict[str, Any]]:
        """Containers in any state that carry these labels, as the engine lists them.

        Args:
            labels: with their values; ``None`` stands for any.
        """
        wanted = [name if value is None else f"{name}={value}" for name, value in labels.items()]
        filters = {"label": wanted}
        found = await self.call(
            "list",
            self.sdk.containers.list(all=True, filters=json.dumps(filters)),
            sent=False,
        )
        return [dict(container._container) for container in found]

    async def remove(self, container_id: str) -> bool:
        """Kill and remove a container; true if it was there. Returns when it is gone.

        Raises:
            SandboxError: it could not be removed.
        """
        container = self.container(container_id)
        try:
            try:
                await self.call("kill", container.delete(force=True, v=True))
            except SandboxError as error:
                if "is not running" not in error.message:
                    raise
                # It ended by itself while the engine was about to kill it, which then gives up.
                await self.call("kill", container.delete(force=True, v=True))
        except Absent:
            return False
        except Conflict:  # it is being removed already
            await self.wait_removed(container_id)
        return True

    async def wait_removed(self, container_id: str) -> None:
        """Return when a container is gone."""
        container = self.container(container_id)
        with contextlib.suppress(Absent):
            await self.call("kill", container.wait(condition="removed"), sent=False)

    def attach(self, container_id: str) -> Stream:
        """The standard streams of a container's first process; to be used with ``async with``."""
        query = {"stream": 1, "stdin": 1, "stdout": 1, "stderr": 1}

        async def opened() -> tuple[URL, bytes | None, bool]:
            return URL(f"containers/{container_id}/attach").with_query(query), None, False

        # The SDK's own method asks for the container first, to see whether it has a terminal.
        return Stream(self.sdk, opened)

    async def exec_stream(self, container_id: str, command: list[str]) -> Stream:
        """A running command's standard streams, as root of the container."""
        with self.translated("connect"):
            made = await self.container(container_id).exec(command, stdin=True, user="0:0")
            stream = made.start(detach=False)
            await stream._init()
            return stream

    # -- events -------------------------------------------------------------------------------

    async def past_events(self, container_id: str) -> list[dict[str, Any]]:
        """What the engine remembers of a container, which are its last 256 events in all."""
        params = {
            "since": "1",
            "until": f"{time.time():.9f}",
            "filters": json.dumps({"type": ["container"], "container": [container_id]}),
        }
        with self.translated("events", sent=False):
            async with self.sdk._query("events", params=params) as response:
                text = await response.text()
        return [json.loads(line) for line in text.splitlines() if line.strip()]

    # -- archives -----------------------------------------------------------------------------

    async def put_archive(self, container_id: str, path: str, archive: IO[bytes]) -> None:
        """Unpack a tar file in a container."""
        with self.translated("create"):
            async with self.sdk._query(
                f"containers/{container_id}/archive",
                method="PUT",
                data=_chunks(archive),
                headers={"content-type": "application/x-tar"},
                params={"path": path},
                timeout=aiohttp.ClientTimeout(),
            ):
                pass

    async def import_image(
        self, archive: bytes, reference: str, labels: Mapping[str, str] | None = None
    ) -> str:
        """Make an image of a tar file; its id."""
        repository, _, tag = reference.partition(":")
        params = {"fromSrc": "-", "repo": repository, "tag": tag}
        if labels:
            # A Dockerfile's strings are quoted as JSON's are.
            said = " ".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
            params["changes"] = f"LABEL {said}"
        with self.translated("create"):
            async with self.sdk._query(
                "images/create",
                method="POST",
                params=params,
                data=archive,
                headers={"content-type": "application/x-tar"},
            ) as response:
                lines = [json.loads(line) for line in (await response.text()).splitlines() if line]
        return str(lines[-1]["status"])


async def _chunks(archive: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(archive.read, 1 << 20):
        yield chunk


def _connector(address: str) -> tuple[str, aiohttp.BaseConnector]:
    """What requests are addressed to, and what carries them.

    Raises:
        ValueError: the address is wrong.
    """
    scheme, separator, rest = address.partition("://")
    if scheme == "unix":
        # Without a pool nothing is left open in a process that ends without closing; and on this
        # machine a connection costs nothing.
        return "http://localhost", aiohttp.UnixConnector(rest, force_close=True)
    if scheme == "ssh":
        return "http://localhost", SshConnector(address)
    if scheme not in ("tcp", "http", "https") or not separator:
        raise ValueError("it begins with none of unix://, tcp://, https://, ssh://")
    secure = scheme == "https" or tls.is_wanted()
    url = URL(f"{'https' if secure else 'http'}://{rest}")
    if not url.host:
        raise ValueError("it names no host")
    if url.explicit_port is None:
        url = url.with_port(_TLS_PORT if secure else _PORT)
    # No limit: each guest that is talked to has a connection for as long as that goes on.
    trust = tls.client_context() if tls.is_wanted() else True
    return str(url).rstrip("/"), aiohttp.TCPConnector(limit=0, ssl=trust)
