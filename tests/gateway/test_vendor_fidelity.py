"""With ``--fidelity vendor`` the gateway is as weak as E2B's own service is known to be."""

from __future__ import annotations

import time

import pytest
from e2b import CommandExitException, TimeoutException
from e2b_code_interpreter import Sandbox


def test_a_command_ends_with_its_pipes(weak: Sandbox) -> None:
    began = time.monotonic()
    weak.commands.run("sleep 2 & echo done")
    assert time.monotonic() - began > 1.8


def test_a_signal_is_minus_one(weak: Sandbox) -> None:
    with pytest.raises(CommandExitException) as ended:
        weak.commands.run("kill -TERM $$")
    assert (ended.value.exit_code, ended.value.error) == (-1, "signal: terminated")


def test_a_timeout_ends_the_process_alone(weak: Sandbox) -> None:
    with pytest.raises(TimeoutException):
        weak.commands.run("sleep 4321 & sleep 4322", timeout=1)
    left = weak.commands.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
    assert "sleep 4321" in left


def test_nothing_is_replayed(weak: Sandbox) -> None:
    handle = weak.commands.run("echo early; sleep 2; echo late", background=True)
    assert next(iter(handle))[0] == "early\n"
    assert weak.commands.connect(handle.pid).wait().stdout == "late\n"
