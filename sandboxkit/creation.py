"""Making a sandbox, in one transaction after which it is ready or gone; and finding one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import InvalidRequestError, SandboxError, SnapshotNotFoundError
from .execution import settle
from .layers.ownership import owner
from .models import SandboxInfo
from .plan import Plan, make_plan
from .plugins import provider_info
from .provider import (
    KillRequest,
    Provider,
    ResumeRequest,
    SandboxRequest,
    SnapshotListRequest,
    WriteFileRequest,
)
from .resolve import (
    UNSET,
    Target,
    create_request,
    snapshot_address,
    split_address,
    target,
    target_for,
)
from .runtime import Lease, acquire
from .spec import SandboxSpec
from .stdin import chunks
from .template import Template
from .threads import in_thread
from .transfer import TransferOptions, upload
from .writing import write_all

__all__ = ["connect", "create", "plan", "spec_and_target"]


def spec_and_target(
    profile: str | None, arguments: Mapping[str, Any]
) -> tuple[SandboxSpec, Target]:
    """Check what was asked for, with the profile's defaults under it. Creates nothing.

    Raises:
        InvalidRequestError: an argument is wrong.
        ConfigError: the profile or the configuration is wrong.
    """
    given = {name: value for name, value in arguments.items() if value is not UNSET}
    template = given.get("template")
    if isinstance(template, Template):
        options = given.get("provider_options") or {}
        for other in ("image", "snapshot"):
            if given.get(other) is not None:
                raise InvalidRequestError(
                    f"create: give template or {other}, not both", op="create"
                )
        given["provider_options"] = {**options, "template": template.recipe()}
        del given["template"]
    snapshot = given.get("snapshot")
    if snapshot is not None:
        given["snapshot"] = snapshot_address(snapshot)
    SandboxSpec.build(given)  # a wrong argument is told before a wrong configuration
    chosen = _target_of(profile, given.get("snapshot"))
    defaults = dict(chosen.profile.defaults)
    named = isinstance(template, Template)
    if named or any(given.get(name) is not None for name in ("image", "snapshot", "template")):
        for name in ("image", "snapshot", "template"):
            defaults.pop(name, None)
    return SandboxSpec.build(_merged(defaults, given)), chosen


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**defaults}
    for name, value in given.items():
        below = merged.get(name)
        if (
            name in ("env", "metadata")
            and isinstance(below, Mapping)
            and isinstance(value, Mapping)
        ):
            merged[name] = {**below, **value}
        elif value is not None or name == "lifetime":
            merged[name] = value
    return merged


def _target_of(profile: str | None, snapshot: str | None) -> Target:
    if snapshot is None or ":" not in snapshot:
        return target(profile)
    provider, _ = split_address(snapshot)
    if profile is None:
        return target_for(provider, None)
    named = target(profile)
    if named.provider != provider:
        raise InvalidRequestError(
            f"create: snapshot {snapshot} is {provider!r}'s; profile {profile!r} is for "
            f"{named.provider!r}",
            op="create",
        )
    return named


def plan(profile: str | None, arguments: Mapping[str, Any]) -> Plan:
    """What the provider would do for these arguments. Creates nothing."""
    spec, chosen = spec_and_target(profile, arguments)
    without = chosen.profile.setting("without")
    capabilities = provider_info(chosen.provider).capabilities.less(without or ())
    return make_plan(spec, chosen.provider, capabilities, frozenset())


async def create(
    profile: str | None,
    arguments: Mapping[str, Any],
    checked: tuple[SandboxSpec, Target] | None = None,
) -> tuple[SandboxInfo, Lease, Target, SandboxSpec]:
    """Make a sandbox and write its first files.

    Args:
        profile: where; ``None`` is the default.
        arguments: what was asked for.
        checked: what `spec_and_target` says of them, if somebody has asked already.

    Raises:
        InvalidRequestError: an argument is wrong.
        UnsupportedError: the provider lacks what was asked for.
        CreateTimeoutError: it was not ready in time.
    """
    # Finding the configuration reads files: not on the loop.
    if checked is None:
        checked = await asyncio.to_thread(spec_and_target, profile, arguments)
    spec, chosen = checked
    lease = acquire(chosen)
    try:
        provider = lease.provider
        emulated: frozenset[str] = getattr(provider, "emulated", frozenset())
        served = make_plan(spec, chosen.provider, provider.capabilities, emulated)
        if served.unsupported:
            served = make_plan(spec, chosen.provider, await provider.survey(), emulated)
        served.check(best_effort=spec.best_effort)
        snapshot_id = await _snapshot_id(provider, spec.snapshot)
        info = await provider.create(create_request(chosen, spec, snapshot_id))
        await _prepare(provider, info, spec)
    except SandboxError as error:
        await lease.release()
        error.locate(op="create", provider=chosen.provider)
        raise
    except BaseException:
        await lease.release()
        raise
    return info, lease, chosen, spec


async def connect(
    address: str, profile: str | None, *, resume: bool
) -> tuple[SandboxInfo, Lease, Target]:
    """Find a live sandbox.

    Raises:
        SandboxNotFoundError: there is none, or no longer.
    """
    provider, identifier = split_address(address)
    chosen = target_for(provider, profile)
    lease = acquire(chosen)
    try:
        info = await lease.provider.connect(SandboxRequest(sandbox_id=identifier))
        if resume and info.state == "paused":
            info = await lease.provider.resume(ResumeRequest(sandbox_id=identifier))
    except BaseException as error:
        await lease.release()
        if isinstance(error, SandboxError):
            error.locate(op="connect", provider=provider, sandbox_id=identifier)
        raise
    return info, lease, chosen


async def _snapshot_id(provider: Provider, snapshot: str | None) -> str | None:
    if snapshot is None:
        return None
    if ":" in snapshot:
        return split_address(snapshot)[1]
    async for found in provider.list_snapshots(SnapshotListRequest(labels={"owner": owner()})):
        if found.name == snapshot:
            return found.id
    raise SnapshotNotFoundError(
        f"there is no snapshot named {snapshot!r}",
        op="create",
        hint="sandboxkit snapshot ls",
    )


async def _prepare(provider: Provider, info: SandboxInfo, spec: SandboxSpec) -> None:
    try:
        requests = {}
        for path, content in spec.files.items():
            absolute = path if path.startswith("/") else f"{info.workdir.rstrip('/')}/{path}"
            if isinstance(content, Path) and await in_thread(content.is_dir):
                await upload(provider, info.id, content, absolute, TransferOptions())
                continue
            requests[path] = WriteFileRequest(
                sandbox_id=info.id, path=absolute, data=chunks(content)
            )
        # After the directories, so that what is named by itself is what counts.
        await write_all(provider, requests)
    except BaseException:
        if not spec.keep_on_error:
            await settle(_kill(provider, info.id))
        raise


async def _kill(provider: Provider, sandbox_id: str) -> None:
    try:
        await provider.kill(KillRequest(sandbox_id=sandbox_id))
    except SandboxError:
        return  # the first error is the one to hear of; the lifetime ends it
