"""A gateway that is killed in the midst of its work, and another that takes its place."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import httpx
import pytest
from e2b import SandboxException
from e2b_code_interpreter import Sandbox

from tests.gateway.conftest import serving


def test_killed_in_the_midst(state_file: Path) -> None:
    options = ("--profile", "local", "--state", str(state_file))
    with serving(*options) as first:
        sandbox = Sandbox.create(metadata={"made": "before"}, timeout=600, **first.params)
        sleeper = sandbox.commands.run("echo early; sleep 1000", background=True, timeout=0)
        started = next(iter(sleeper))[0]
        running = Sandbox.create(**first.params)
        threading.Timer(0.5, first.process.send_signal, [signal.SIGKILL]).start()
        began = time.monotonic()
        with pytest.raises((SandboxException, httpx.RemoteProtocolError)) as lost:
            running.run_code("import time; open('began', 'w').close(); time.sleep(1000)")
        with pytest.raises(SandboxException):
            sleeper.wait()
        assert time.monotonic() - began < 60
        assert first.process.wait(10) == -signal.SIGKILL
    assert str(lost.value)
    with serving(*options) as second:
        again = Sandbox.connect(sandbox.sandbox_id, **second.params)
        assert again.get_info().metadata == {"made": "before"}
        # The same tokens are good, the processes live, and nothing that they wrote is lost.
        handle = again.commands.connect(sleeper.pid)
        assert next(iter(handle))[0] == started == "early\n"
        assert handle.kill() is True
        other = Sandbox.connect(running.sandbox_id, **second.params)
        assert other.files.exists("began")
        assert other.run_code("6 * 7", timeout=60).text == "42"
        assert {again.kill(), other.kill()} == {True}
