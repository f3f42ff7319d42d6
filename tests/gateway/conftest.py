"""A gateway as a process of its own, and E2B's official SDKs, unmodified, in front of it."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from e2b_code_interpreter import Sandbox


@dataclass(frozen=True)
class Served:
    """A gateway that serves.

    Attributes:
        url: where.
        variables: what it says to set.
        process: it itself.
    """

    url: str
    variables: dict[str, str]
    process: subprocess.Popen[str]

    @property
    def key(self) -> str:
        return self.variables["E2B_API_KEY"]

    @property
    def params(self) -> dict[str, Any]:
        """What the SDK's calls take."""
        return {
            "api_url": self.url,
            "sandbox_url": self.url,
            "domain": self.variables["E2B_DOMAIN"],
            "api_key": self.key,
        }

    def host(self) -> tuple[str, int]:
        name, _, port = self.url.removeprefix("http://").rpartition(":")
        return name, int(port)


@contextmanager
def serving(*options: str) -> Iterator[Served]:
    """A gateway in front of the local provider."""
    command = [sys.executable, "-m", "sandboxkit.cli", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(5)]
            found = dict(re.findall(r"export (\w+)=(.*)", "".join(lines)))
            assert len(found) == 5, lines
            yield Served(found["E2B_API_URL"], found, process)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


def asked(
    gateway: Served,
    method: str,
    path: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """One request, as it is written here."""
    with closing(http.client.HTTPConnection(*gateway.host(), timeout=30)) as connection:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.fixture(scope="session")
def gateway(private_daemon: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    state = tmp_path_factory.mktemp("gateway") / "state.sqlite3"
    with serving("--profile", "local", "--state", str(state)) as served:
        yield served


@pytest.fixture(scope="session")
def vendor(private_daemon: None) -> Iterator[Served]:
    with serving("--profile", "local", "--fidelity", "vendor") as served:
        yield served


@pytest.fixture
def sandbox(gateway: Served) -> Iterator[Sandbox]:
    made = Sandbox.create(**gateway.params)
    yield made
    made.kill()


@pytest.fixture
def weak(vendor: Served) -> Iterator[Sandbox]:
    made = Sandbox.create(**vendor.params)
    yield made
    made.kill()


@pytest.fixture
def state_file(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite3"
