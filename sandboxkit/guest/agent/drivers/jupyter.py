"""The driver of a context that a kernel for Jupyter serves: ``python jupyter.py FD NAME``.

The seam for other languages. It needs the package ``jupyter_client``, and the kernel, in the
template; what the kernel says of a cell is passed on in our words.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import sys
import threading
from types import ModuleType
from typing import Any, Dict, NoReturn, Optional

if not __package__:
    __package__ = "_sandboxkit_drivers"
    _package = ModuleType(__package__)
    _package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules[__package__] = _package
    if sys.path[:1] == _package.__path__:
        del sys.path[0]

from .channel import Channel
from .mime import encoded, result_events

__all__ = ["serve"]

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_STREAMS = {"stdout": 1, "stderr": 2}
_START = 60.0  # seconds that a kernel has to begin
_HEEDED = (signal.SIGINT, signal.SIGCHLD)


def serve(channel: Channel, name: str) -> None:
    """Start the kernel and run cells in it until the agent hangs up."""
    if importlib.util.find_spec("jupyter_client") is None:
        _refuse(channel, "a kernel for Jupyter needs jupyter_client: pip install jupyter_client")
    from jupyter_client import KernelManager
    from jupyter_client.kernelspec import NoSuchKernel

    manager = KernelManager(kernel_name=name)
    try:
        manager.start_kernel(stdout=1, stderr=2)
    except NoSuchKernel:
        _refuse(channel, f"there is no kernel {name!r}: install it in the template, see "
                "`jupyter kernelspec list`")  # fmt: skip
    # A handler would run too late if its signal came just before the wait for a message begins.
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED)
    threading.Thread(target=_heed_signals, args=(channel, manager), daemon=True).start()
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=_START)
    kernel = _Kernel(channel, client)
    channel.send({"event": "ready"})
    for request in iter(channel.receive, None):
        channel.send({"event": "begun"})
        kernel.run(request["code"])
        channel.send({"event": "done"})
    manager.shutdown_kernel(now=True)


def _refuse(channel: Channel, why: str) -> NoReturn:
    channel.send({"event": "unsupported", "why": why})
    os._exit(1)


def _heed_signals(channel: Channel, manager: Any) -> NoReturn:
    """Hand interrupts on to the kernel, which has a session of its own, and end when it ends."""
    while True:
        if signal.sigwait(_HEEDED) == signal.SIGINT:
            manager.interrupt_kernel()
        status = _status(manager.provisioner.process)
        if status is not None:
            how = (
                f"exited with status {status}" if status >= 0 else f"was ended by signal {-status}"
            )
            channel.send({"event": "ending", "why": f"the kernel {how}"})
            os._exit(1)


def _status(process: Any) -> Optional[int]:
    """How a child has ended, negative for a signal; looked at without collecting it."""
    try:
        found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        status: Optional[int] = process.returncode
        return status
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


class _Kernel:
    """A running kernel and what it has shown."""

    def __init__(self, channel: Channel, client: Any) -> None:
        self._channel = channel
        self._client = client
        self._results = 0

    def run(self, code: str) -> None:
        """Run a cell to its end."""
        ours = self._client.execute(code, allow_stdin=False)
        idle = False
        while not idle:
            message = self._client.get_iopub_msg(timeout=None)
            if message["parent_header"].get("msg_id") == ours:
                idle = self._heed(message["msg_type"], message["content"])
        self._client.get_shell_msg(timeout=None)

    def _heed(self, kind: str, content: Dict[str, Any]) -> bool:
        """Pass a message on; whether it was the last one."""
        if kind == "stream":
            _write(_STREAMS[content["name"]], content["text"])
        elif kind in ("execute_result", "display_data", "update_display_data"):
            self._results += 1
            bundle = encoded(content["data"])
            for event in result_events(bundle, kind == "execute_result", self._results):
                self._channel.send(event)
        elif kind == "error":
            self._channel.send(_raised(content))
        return kind == "status" and bool(content["execution_state"] == "idle")


def _write(fd: int, text: str) -> None:
    data = text.encode("utf-8", "replace")
    while data:
        data = data[os.write(fd, data) :]


def _raised(content: Dict[str, Any]) -> Dict[str, Any]:
    from .cell_error import TRACEBACK_LIMIT, VALUE_LIMIT, shorten

    traceback = _COLOURS.sub("", "\n".join(content["traceback"]))
    return {
        "event": "raised",
        "name": str(content["ename"])[:200],
        "value": shorten(str(content["evalue"]), VALUE_LIMIT),
        "traceback": shorten(traceback, TRACEBACK_LIMIT),
    }


def _main(fd: str, name: str) -> Optional[NoReturn]:
    with contextlib.suppress(ConnectionError):  # the agent is gone
        serve(Channel(int(fd)), name)
    os._exit(0)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
