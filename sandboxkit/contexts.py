"""A sandbox's code contexts."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping

from .models import ContextInfo
from .provider import ContextRequest, CreateContextRequest, Provider, RunCodeRequest, SandboxRequest
from .requests import environment, positive_timeout
from .units import Duration

__all__ = ["AsyncContexts", "cell_request", "context_id"]


class AsyncContexts:
    """Places for code to run in, each with variables of its own."""

    def __init__(self, use: Callable[[str, str], Provider], sandbox_id: str) -> None:
        self._use = use
        self._id = sandbox_id

    async def create(
        self,
        language: str = "python",
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> ContextInfo:
        """Make a context.

        Args:
            language: such as ``python``.
            cwd: its working directory; the sandbox's ``workdir`` if ``None``.
            env: on top of the sandbox's.
            user: who its code runs as.

        Raises:
            UnsupportedError: the sandbox does not know the language.
            PathNotFoundError: `cwd` does not exist.
        """
        return await self._use("contexts.create", "code").create_context(
            CreateContextRequest(
                sandbox_id=self._id, language=language, cwd=cwd, env=dict(env or {}), user=user
            )
        )

    async def list(self) -> builtins.list[ContextInfo]:
        """The contexts that are there."""
        provider = self._use("contexts.list", "code")
        return [*await provider.list_contexts(SandboxRequest(sandbox_id=self._id))]

    async def restart(self, context: str | ContextInfo) -> ContextInfo:
        """Start a context anew: its variables are gone, its id stays.

        Raises:
            NotFoundError: there is no such context.
        """
        return await self._use("contexts.restart", "code").restart_context(
            ContextRequest(sandbox_id=self._id, context=context_id(context))
        )

    async def remove(self, context: str | ContextInfo) -> None:
        """End a context.

        Raises:
            NotFoundError: there is no such context.
        """
        await self._use("contexts.remove", "code").remove_context(
            ContextRequest(sandbox_id=self._id, context=context_id(context))
        )


def context_id(context: str | ContextInfo) -> str:
    """The id of a context given either way."""
    return context if isinstance(context, str) else context.id


def cell_request(
    sandbox_id: str,
    op: str,
    code: str,
    language: str,
    context: str | ContextInfo | None,
    env: Mapping[str, str] | None,
    timeout: Duration | None,
) -> RunCodeRequest:
    """The request to run a cell, checked.

    Raises:
        InvalidRequestError: an argument is wrong.
    """
    return RunCodeRequest(
        sandbox_id=sandbox_id,
        code=code,
        language=language,
        context=None if context is None else context_id(context),
        env=environment(env or {}, op),
        timeout=positive_timeout(timeout, op),
    )
