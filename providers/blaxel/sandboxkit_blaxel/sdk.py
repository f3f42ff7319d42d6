"""Blaxel's SDK, taken in without what it does to a process that imports it.

Its import sets up the root logger, silences those of HTTP clients, and may set ``BL_ENV`` from a
file of the user's. All of that is put back. Its one client for the whole process, with the
credentials of the environment, is never used here: the generated functions take another.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

__all__ = [
    "UNSET",
    "Client",
    "ClientCredentials",
    "ConflictError",
    "Env",
    "Error",
    "ExpirationPolicy",
    "Metadata",
    "MetadataLabels",
    "Preview",
    "PreviewMetadata",
    "PreviewSpec",
    "PreviewToken",
    "PreviewTokenMetadata",
    "PreviewTokenSpec",
    "ProcessRequest",
    "ResponseError",
    "Sandbox",
    "SandboxAPIError",
    "SandboxClient",
    "SandboxConfiguration",
    "SandboxError",
    "SandboxForkRequest",
    "SandboxInstance",
    "SandboxLifecycle",
    "SandboxNetwork",
    "SandboxRuntime",
    "SandboxSnapshot",
    "SandboxSnapshotRequest",
    "SandboxSpec",
    "Status",
    "UnexpectedStatus",
    "Unset",
    "control",
    "following",
    "inside",
    "settings",
]

_LOGGERS = ("", "httpx", "httpcore", "urllib3", "requests", "openai", "anthropic")


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    """Put back what the SDK's import changes in the process."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(one, one.level, [*one.handlers], one.disabled) for one in loggers]
    environment = os.environ.get("BL_ENV")
    try:
        yield
    finally:
        for logger, level, handlers, disabled in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers
            logger.disabled = disabled
        if environment is None:
            os.environ.pop("BL_ENV", None)


with _as_it_was():
    from blaxel.core import SandboxAPIError, SandboxInstance
    from blaxel.core.authentication.clientcredentials import ClientCredentials
    from blaxel.core.client.api import compute as control
    from blaxel.core.client.api.compute import (  # noqa: F401 - as attributes of `control`
        create_sandbox,
        create_sandbox_preview,
        create_sandbox_preview_token,
        create_snapshot,
        delete_sandbox,
        delete_snapshot,
        fork_snapshot,
        get_sandbox,
        get_sandbox_preview,
        get_snapshot,
        list_sandboxes,
        list_snapshots,
        update_sandbox,
    )
    from blaxel.core.client.client import Client
    from blaxel.core.client.errors import ConflictError, UnexpectedStatus
    from blaxel.core.client.models import (
        Env,
        Error,
        ExpirationPolicy,
        Metadata,
        MetadataLabels,
        Preview,
        PreviewMetadata,
        PreviewSpec,
        PreviewToken,
        PreviewTokenMetadata,
        PreviewTokenSpec,
        Sandbox,
        SandboxError,
        SandboxForkRequest,
        SandboxLifecycle,
        SandboxNetwork,
        SandboxRuntime,
        SandboxSnapshot,
        SandboxSnapshotRequest,
        SandboxSpec,
        Status,
    )
    from blaxel.core.client.types import UNSET, Unset
    from blaxel.core.common.settings import settings
    from blaxel.core.sandbox.client.api import process as inside
    from blaxel.core.sandbox.client.api.process import (  # noqa: F401 - as attributes of `inside`
        delete_process_identifier_kill,
        post_process_identifier_stdin,
    )
    from blaxel.core.sandbox.client.client import Client as SandboxClient
    from blaxel.core.sandbox.client.models import ProcessRequest
    from blaxel.core.sandbox.types import ResponseError, SandboxConfiguration


def following(page: Any) -> str | None:
    """What to ask for the page after one with; ``None`` if it is the last."""
    meta = None if page is None else page.meta
    if meta is None or isinstance(meta, Unset) or meta.has_more is not True:
        return None
    cursor = meta.next_cursor
    return cursor if isinstance(cursor, str) and cursor else None
