"""What runs in the interpreter that has a peer: does with it what standard input asks for.

    PYTHON -I driver.py ADAPTER CLASS OPTIONS

Every line that comes in and every line that goes out is JSON. It imports nothing of this suite, as
that may not be installed there. Moments are read from the monotonic clock, which all processes
of a machine share, so the way through the pipe is in no figure. A peer that raises ends this
process, with what it raised on standard error.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import os
import sys
import time
from typing import Any


def loaded(path: str, name: str, options: dict[str, Any]) -> Any:
    """The adapter of a peer, by its file: so that no directory of ours is searched for modules."""
    spec = importlib.util.spec_from_file_location("adapter", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)(options)


class Server:
    """Answers requests, one after the other.

    Args:
        adapter: has the coroutines ``open``, ``run`` and ``close``.
    """

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter
        self._open = False
        self._marks: dict[str, int] = {}

    def _mark(self, *phases: str) -> None:
        now = time.monotonic_ns()
        for phase in phases:
            self._marks[phase] = now

    async def answer(self, do: str, command: list[str]) -> dict[str, Any]:
        """Do one thing: ``start`` opens and runs, ``run`` runs, ``end`` closes."""
        self._marks = {}
        output = ""
        gc.disable()  # as in the process that measures all others
        try:
            self._mark("call")
            if do == "start":
                self._open = True
                await self._adapter.open()
                self._mark("allocated")
            if do != "end":
                self._mark("exec_sent")
                output = await self._adapter.run(command)
                self._mark("answered", "exit_known")
            else:
                self._mark("destroy_called")
                await self.close()
                self._mark("destroy_confirmed")
        finally:
            gc.enable()
        return {"marks": self._marks, "output": output}

    async def close(self) -> None:
        """End the sandbox if there is one."""
        if self._open:
            self._open = False
            await self._adapter.close()


def main(path: str, name: str, options: str) -> None:
    """Serve until standard input ends."""
    wire = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints is no answer

    def tell(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=wire, flush=True)

    try:
        adapter = loaded(path, name, json.loads(options))
    except ModuleNotFoundError as error:
        tell({"lacks": error.name})
        return
    tell({"version": adapter.version})
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server = Server(adapter)
    try:
        for line in sys.stdin:
            asked = json.loads(line)
            tell(loop.run_until_complete(server.answer(asked["do"], asked["command"])))
    finally:
        loop.run_until_complete(server.close())


if __name__ == "__main__":
    main(*sys.argv[1:])
