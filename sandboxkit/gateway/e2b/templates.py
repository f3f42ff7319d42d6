"""The template builder's part of the control plane: builds, their files, their names and tags."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
import secrets
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ...errors import SandboxError
from ...sandbox import AsyncSandbox
from ..fleet import Fleet
from ..http import chunks_of, json_answer, json_of
from ..keys import Tenant
from ..refusal import Refusal
from ..settings import Settings as GatewaySettings
from ..state import SnapshotRecord
from .building import BuildError, Recipe, Settings, Step, begin, carry_out
from .guest import Guest
from .origin import BASES, Origin, origin_of
from .shapes import when

__all__ = ["UPLOADS", "Templates"]

UPLOADS = "/template-files/"
MOST_BUILDS = 20
"""Builds of a tenant that are not at their end."""
KEPT = 3600.0
"""Seconds for which a build that has ended, or was never started, can be asked after."""
MOST_LINES = 100
MOST_LOG = 4 << 20
"""Characters that the log of one build may have; what it says after that is not kept."""
LINE = 200
"""What a line counts beside its text."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_HASH = re.compile(r"[A-Za-z0-9]{1,128}")


@dataclass
class Build:
    """A build, from the request for it on.

    Attributes:
        id: of it.
        tenant: whose it is.
        template: the template's id.
        name: the template's name.
        tags: that it is to have.
        token: the right to upload its files.
        files: where they are.
        status: ``waiting``, ``building``, ``ready`` or ``error``.
        log: what it said: the step, the text, the moment.
        failure: why it failed, and at which step.
        since: when it was asked for, or ended.
        work: what builds it.
        said: how many characters it said, with what each line takes beside its text.
    """

    id: str
    tenant: str
    template: str
    name: str
    tags: list[str]
    token: str
    files: Path
    status: str = "waiting"
    log: list[dict[str, str]] = field(default_factory=list)
    failure: tuple[str, str] = ("", "")
    since: float = field(default_factory=time.monotonic)
    work: asyncio.Task[None] | None = None
    said: int = 0

    def say(self, step: str, text: str) -> None:
        """Note a line."""
        text = text[:10_000]
        self.said += len(text) + LINE
        if self.said > MOST_LOG:
            return
        line = {"timestamp": when(datetime.now(UTC)), "level": "info", "message": text}
        self.log.append({**line, "step": step} if step else line)


class Templates:
    """Builds templates and finds them again."""

    def __init__(self, fleet: Fleet[Guest], settings: GatewaySettings) -> None:
        self._fleet = fleet
        self._settings = settings
        self._builds: dict[str, Build] = {}
        # Made when the first file comes.
        self._place = Path(tempfile.gettempdir()) / f"sandboxkit-gateway-{secrets.token_hex(8)}"

    async def aclose(self) -> None:
        """Give up what is being built."""
        tasks = [build.work for build in self._builds.values() if build.work]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(shutil.rmtree, self._place, ignore_errors=True)

    # -- asking for one -----------------------------------------------------------------------

    async def request(self, request: Request, tenant: Tenant) -> Response:
        """Begin a build, which may then be given files."""
        body = await json_of(request)
        name, tags = _named(body.get("name") or body.get("alias"), body.get("tags"))
        self._prune()
        mine = [one for one in self._builds.values() if one.tenant == tenant.name]
        if sum(one.status in ("waiting", "building") for one in mine) >= MOST_BUILDS:
            headers = {"Retry-After": "10", "Should-Retry": "true"}
            raise Refusal(429, f"{MOST_BUILDS} builds are not at their end yet", headers=headers)
        identifier = str(uuid.uuid4())
        build = self._builds[identifier] = Build(
            id=identifier,
            tenant=tenant.name,
            template=self._template_id(tenant.name, name),
            name=name,
            tags=tags,
            token=secrets.token_urlsafe(24),
            files=self._place / identifier,
        )
        told = {"templateID": build.template, "buildID": build.id, "public": False, "tags": tags}
        return json_answer({**told, "names": [name], "aliases": [name]}, 202)

    def _template_id(self, tenant: str, name: str) -> str:
        for record in self._fleet.state.snapshots.values():
            if record.tenant == tenant and record.template and f"{name}:" in _heads(record):
                return record.template
        return "t" + secrets.token_hex(10)

    def _prune(self) -> None:
        old = time.monotonic() - KEPT
        for build in [*self._builds.values()]:
            if build.status != "building" and build.since < old:
                del self._builds[build.id]
                shutil.rmtree(build.files, ignore_errors=True)

    def _build(self, tenant: Tenant, template: str, identifier: str | None = None) -> Build:
        found = [
            one
            for one in self._builds.values()
            if one.tenant == tenant.name
            and one.template == template
            and (one.id == identifier if identifier else one.status == "waiting")
        ]
        if not found:
            raise Refusal(404, f"template '{template:.64}' has no such build")
        return found[-1]

    # -- its files ----------------------------------------------------------------------------

    async def link(self, request: Request, tenant: Tenant, template: str, digest: str) -> Response:
        """Where to put the files of a step."""
        build = self._build(tenant, template)
        if not _HASH.fullmatch(digest):
            raise Refusal(400, "the hash of the files is malformed")
        base = str(request.base_url).rstrip("/")
        url = f"{base}{UPLOADS}{build.id}/{digest}?token={build.token}"
        return json_answer({"present": (build.files / digest).exists(), "url": url}, 201)

    async def upload(self, request: Request) -> Response:
        """Take the files of a step; whoever has the link may."""
        identifier, _, digest = request.scope["path"].removeprefix(UPLOADS).partition("/")
        build = self._builds.get(identifier)
        given = request.query_params.get("token", "").encode("utf-8", "replace")
        if build is None or not hmac.compare_digest(given, build.token.encode()):
            raise Refusal(403, "the link is not good, or not any more")
        if build.status != "waiting" or not _HASH.fullmatch(digest):
            raise Refusal(400, "this build takes no such files")
        self._place.mkdir(mode=0o700, exist_ok=True)
        build.files.mkdir(mode=0o700, exist_ok=True)
        part = build.files / f"{digest}.{secrets.token_hex(4)}"
        try:
            with part.open("wb") as file:
                async for chunk in chunks_of(request.receive, self._settings.max_upload):
                    await asyncio.to_thread(file.write, chunk)
            part.rename(build.files / digest)
        finally:
            part.unlink(missing_ok=True)
        return Response(status_code=200)

    # -- building it --------------------------------------------------------------------------

    async def start(
        self, request: Request, tenant: Tenant, template: str, identifier: str
    ) -> Response:
        """Build it."""
        build = self._build(tenant, template, identifier)
        if build.status != "waiting":
            raise Refusal(400, "this build was started already")
        body = await json_of(request)
        try:
            recipe = _recipe(body, build)
            origin = await asyncio.to_thread(self._origin, body, tenant)
            self._check(origin)
        except Refusal:
            del self._builds[build.id]
            raise
        build.status = "building"
        build.work = asyncio.create_task(self._work(build, tenant, origin, recipe))
        return Response(status_code=202)

    def _check(self, origin: Origin) -> None:
        able = self._fleet.provider.capabilities
        if "image" in origin.arguments and not able.images:
            raise Refusal(501, "the provider behind this gateway has no images to start from")
        if not able.snapshots:
            raise Refusal(501, "the provider behind this gateway takes no snapshots")

    def _origin(self, body: Mapping[str, Any], tenant: Tenant) -> Origin:
        if body.get("fromImageRegistry"):
            raise Refusal(
                501,
                "this gateway hands no credentials to registries: pull the image where its engine"
                " is, and start from its name",
            )
        image, template = body.get("fromImage"), body.get("fromTemplate")
        if isinstance(template, str) and template:
            return origin_of(template, self._fleet.state, tenant)
        if not isinstance(image, str) or not image:
            raise Refusal(400, "a template starts from an image or from a template")
        return Origin({} if image.partition(":")[0] in BASES else {"image": image})

    async def _work(self, build: Build, tenant: Tenant, origin: Origin, recipe: Recipe) -> None:
        try:
            await self._made(build, tenant, origin, recipe)
            build.status = "ready"
        except (BuildError, SandboxError, Refusal, OSError) as error:
            step = error.step if isinstance(error, BuildError) else ""
            build.failure = (str(error), step)
            build.status = "error"
        finally:
            build.since = time.monotonic()
            await asyncio.to_thread(shutil.rmtree, build.files, ignore_errors=True)

    async def _made(self, build: Build, tenant: Tenant, origin: Origin, recipe: Recipe) -> None:
        settings = Settings.of(origin.settings)
        async with self._fleet.room(tenant):
            sandbox = await AsyncSandbox.create(
                self._fleet.profile, **origin.arguments, lifetime=2 * KEPT
            )
        try:
            settings = await carry_out(sandbox, recipe, settings, build.say)
            taken = await sandbox.snapshot()
            # Whether it starts is seen here, and not first by who uses it.
            try:
                await begin(sandbox, settings)
            except BaseException:
                await taken.delete()
                raise
        finally:
            with contextlib.suppress(SandboxError):  # it ended by itself
                await sandbox.kill()
            await sandbox.close()
        await self._keep(build, taken.address, settings)

    async def _keep(self, build: Build, address: str, settings: Settings) -> None:
        await self._strip(build.tenant, build.template, build.tags)
        record = SnapshotRecord(
            id=build.id,
            tenant=build.tenant,
            address=address,
            sandbox="",
            names=[build.name],
            created_at=time.time(),
            template=build.template,
            tags=[*build.tags],
            settings=settings.kept(),
        )
        await self._fleet.state.save(record)

    async def status(
        self, request: Request, tenant: Tenant, template: str, identifier: str
    ) -> Response:
        """How far a build is, and what it said since the last time."""
        build = self._build(tenant, template, identifier)
        offset = request.query_params.get("logsOffset", "0")
        first = int(offset) if offset.isascii() and offset.isdigit() and len(offset) < 9 else 0
        lines = build.log[first : first + MOST_LINES]
        told: dict[str, Any] = {
            "templateID": build.template,
            "buildID": build.id,
            "status": build.status,
            "logEntries": lines,
            "logs": [line["message"] for line in lines],
        }
        if build.status == "error":
            message, step = build.failure
            told["reason"] = {"message": message, **({"step": step} if step else {})}
        return json_answer(told)

    # -- its names ----------------------------------------------------------------------------

    def _of(self, tenant: Tenant, name: str) -> list[SnapshotRecord]:
        found = [
            one
            for one in self._fleet.state.snapshots.values()
            if one.tenant == tenant.name and one.template and name in (one.template, *one.names)
        ]
        if not found:
            raise Refusal(404, f"template '{name:.64}' not found")
        return found

    async def _strip(self, tenant: str, template: str, tags: list[str]) -> None:
        """A tag is one build's alone."""
        for record in [*self._fleet.state.snapshots.values()]:
            if record.tenant == tenant and record.template == template:
                left = [tag for tag in record.tags if tag not in tags]
                if left != record.tags:
                    record.tags = left
                    await self._fleet.state.save(record)

    async def tag(self, request: Request, tenant: Tenant) -> Response:
        """Give a build more tags."""
        body = await json_of(request)
        name, (tag,) = _named(body.get("target"), None)
        found = [one for one in self._of(tenant, name) if tag in one.tags]
        tags = _tags(body.get("tags"))
        if not found or not tags:
            raise Refusal(404 if tags else 400, f"there is no build {name:.64}:{tag:.64} to tag")
        await self._strip(tenant.name, found[0].template, tags)
        found[0].tags += tags
        await self._fleet.state.save(found[0])
        return json_answer({"buildID": found[0].id, "tags": tags}, 201)

    async def untag(self, request: Request, tenant: Tenant) -> Response:
        """Take tags away."""
        body = await json_of(request)
        name, _ = _named(body.get("name"), None)
        template = self._of(tenant, name)[0].template
        await self._strip(tenant.name, template, _tags(body.get("tags")))
        return Response(status_code=204)

    async def tags(self, tenant: Tenant, name: str) -> Response:
        """All tags of a template."""
        told = [
            {
                "tag": tag,
                "buildID": one.id,
                "createdAt": when(datetime.fromtimestamp(one.created_at, UTC)),
            }
            for one in self._of(tenant, name)
            for tag in one.tags
        ]
        return json_answer(told)


def _heads(record: SnapshotRecord) -> list[str]:
    return [name + ":" for name in record.names]


def _tags(value: object) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(
        isinstance(one, str) and _NAME.fullmatch(one) for one in value
    ):
        raise Refusal(400, "tags are not a list of tags")
    return value


def _named(name: object, tags: object) -> tuple[str, list[str]]:
    """The name and the tags that are meant by ``name:tag``, which is ``default`` if none is."""
    if not isinstance(name, str) or not _NAME.fullmatch(name.replace(":", "-", 1)):
        raise Refusal(400, "the template's name is malformed")
    head, _, tag = name.partition(":")
    return head, [*([tag] if tag else []), *_tags(tags)] or ["default"]


def _recipe(body: Mapping[str, Any], build: Build) -> Recipe:
    steps = body.get("steps") or []
    texts = [body.get("startCmd") or "", body.get("readyCmd") or ""]
    if not isinstance(steps, list) or not all(isinstance(one, str) for one in texts):
        raise Refusal(400, "the steps are malformed")
    return Recipe([_step(one, build) for one in steps], *texts)


def _step(given: object, build: Build) -> Step:
    step = given if isinstance(given, dict) else {}
    kind, arguments, digest = step.get("type"), step.get("args") or [], step.get("filesHash")
    if not isinstance(kind, str) or not isinstance(arguments, list):
        raise Refusal(400, "a step is malformed")
    if not all(isinstance(one, str) and "\0" not in one for one in arguments):
        raise Refusal(400, "the arguments of a step are not text")
    if kind != "COPY":
        return Step(kind, arguments)
    if not isinstance(digest, str) or not _HASH.fullmatch(digest):
        raise Refusal(400, "a COPY has no hash of its files")
    archive = build.files / digest
    if not archive.exists():
        raise Refusal(
            400, f"the files of the step COPY {' '.join(arguments[:2])} were not uploaded"
        )
    return Step(kind, arguments, archive)
