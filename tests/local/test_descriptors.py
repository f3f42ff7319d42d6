"""A daemon of many sandboxes, whose descriptors have large numbers."""

from __future__ import annotations

import fcntl
import os
import resource
import subprocess

import pytest

from sandboxkit_local.daemon.waiting import is_readable

HIGH = 1500
"""Above what select(2) takes."""


@pytest.fixture
def sleeper():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(HIGH + 10, hard)), hard))
    process = subprocess.Popen(["sleep", "60"])
    low = os.pidfd_open(process.pid)
    high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, HIGH)
    yield process, high
    process.kill()
    process.wait()
    os.close(low)
    os.close(high)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_end_of_a_process_is_seen_by_a_descriptor_above_1023(sleeper) -> None:
    process, descriptor = sleeper
    assert descriptor >= HIGH
    assert not is_readable(descriptor)
    process.kill()
    process.wait()
    assert is_readable(descriptor)
