"""The operations on code: run_code, and those that manage contexts."""

from __future__ import annotations

import os
from typing import Dict, Optional

from . import arguments, kernels
from .context import Context
from .context_cell import Cell
from .errors import NO_SUCH_CWD, NOT_FOUND, TOO_MANY, OpError
from .kernel_spare import Spare
from .kernel_start import Place
from .process import LINGER
from .server import Server
from .spawn import directory
from .stream import Message, Stream

__all__ = ["install"]

MAX_CONTEXTS = 256
GRACE = 2.0
DEFAULT_LANGUAGE = "python"


def install(server: Server) -> None:
    """Offer these operations."""
    contexts = Contexts(server)
    server.add_op("run_code", contexts.run_code)
    server.add_op("create_context", contexts.create)
    server.add_op("list_contexts", contexts.list)
    server.add_op("restart_context", contexts.restart)
    server.add_op("remove_context", contexts.remove)
    server.add_feature("code")
    server.on_exit_hooks.append(contexts.kill_without_waiting)
    if server.unclaimed:
        contexts.have_one()


class Contexts:
    """All contexts, the default one of a language under the language's name."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._contexts: Dict[str, Context] = {}
        self._spare = Spare(server)

    def have_one(self) -> None:
        """Have an interpreter before the sandbox is anybody's."""
        kernel = kernels.find(self._server, DEFAULT_LANGUAGE)
        if kernel.entry is not None:  # a program is started for variables that are not known yet
            self._spare.begin(kernel, Place("/", {}, self._server.account(None)))

    def run_code(self, stream: Stream, args: Message) -> None:
        """Run a cell in a context, the language's default one if none is named."""
        code = args.get("code")
        if not isinstance(code, str):
            raise arguments.bad("'code' must be a string")
        cell = Cell(
            stream,
            code,
            dict(arguments.environment(args)),
            arguments.seconds(args, "timeout"),
            arguments.seconds(args, "grace", GRACE) or 0.0,
        )
        context = self._for_cell(args)
        stream.on_reset = lambda: context.drop(cell)
        stream.on_lost = lambda clean: self._lost(context, cell, clean)
        context.submit(cell)

    def create(self, stream: Stream, args: Message) -> None:
        """Make a context; answered when its interpreter is ready, or cannot be."""
        context = self._make(os.urandom(8).hex(), _language(args), args)
        self._contexts[context.id] = context

        def answer(error: Optional[OpError]) -> None:
            if error is None:
                stream.result(context.info())
                context.prepare_another()
            else:
                self._contexts.pop(context.id, None)
                stream.fail(error)

        try:
            context.when_ready(answer)
        except (OpError, OSError) as error:
            del self._contexts[context.id]
            raise error from None

    def list(self, stream: Stream, _args: Message) -> None:
        """Tell of all of them."""
        stream.result({"contexts": [context.info() for context in self._contexts.values()]})

    def restart(self, stream: Stream, args: Message) -> None:
        """Forget a context's variables."""
        context = self._find(arguments.text(args, "context"))
        context.restart(lambda: stream.result(context.info()))

    def remove(self, stream: Stream, args: Message) -> None:
        """Forget a context."""
        context = self._find(arguments.text(args, "context"))
        del self._contexts[context.id]
        context.remove(lambda: stream.result(context.info()))

    def kill_without_waiting(self) -> None:
        """End all interpreters and what they started."""
        self._spare.end()
        for context in self._contexts.values():
            context.kill_without_waiting()

    def _lost(self, context: Context, cell: Cell, clean: bool) -> None:
        if clean:
            context.drop(cell)
        else:
            context.ignore(cell)
            self._server.loop.call_later(LINGER, lambda: context.drop(cell))

    def _for_cell(self, args: Message) -> Context:
        name = arguments.optional_text(args, "context")
        if name is not None:
            return self._find(name)
        language = _language(args)
        if language not in self._contexts:
            self._contexts[language] = self._make(language, language, {})
        return self._contexts[language]

    def _find(self, name: str) -> Context:
        context = self._contexts.get(name)
        if context is None:
            raise OpError(NOT_FOUND, f"no such context: {name}")
        return context

    def _make(self, name: str, language: str, args: Message) -> Context:
        if len(self._contexts) >= MAX_CONTEXTS:
            raise OpError(TOO_MANY, f"more than {MAX_CONTEXTS} contexts")
        return Context(self._server, self._spare, name, language, self._place(args))

    def _place(self, args: Message) -> Place:
        config = self._server.config
        cwd = arguments.text(args, "cwd", config.workdir)
        if not cwd.startswith("/"):
            raise OpError(NO_SUCH_CWD, f"{cwd} is not an absolute path", path=cwd)
        account = self._server.account(arguments.optional_text(args, "user"))
        with self._server.acting(account), directory(cwd):
            pass
        return Place(cwd, dict(arguments.environment(args)), account)


def _language(args: Message) -> str:
    return kernels.canonical(arguments.text(args, "language", DEFAULT_LANGUAGE))
