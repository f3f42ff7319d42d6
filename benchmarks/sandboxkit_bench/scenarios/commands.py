"""In a sandbox that lives: a command, its first byte, much output, a terminal's echo, a port."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

from sandboxkit import Process
from sandboxkit.plugins import provider_info

from ..case import Case
from ..challenge import KEY_FILE
from ..contenders.docker_api import ApiExec
from ..contenders.docker_cli import DockerExec
from ..contenders.host import HostCommand
from ..contenders.kit import KitLive
from ..contenders.peers.cases import peer_commands
from ..settings import Settings, provider_of
from ..trial import Fault, Trial

__all__ = ["COMMAND", "ECHO", "FIRST_BYTE", "PORT", "commands", "echoes", "first_bytes", "ports"]

COMMAND = "command in a live sandbox"
FIRST_BYTE = "first streamed byte"
ECHO = "echo of a key on a terminal"
PORT = "first byte of a port"

LATER = "; sleep 0.03"
"""What a command does after its first line, which must be here before it has ended."""


class Command(KitLive):
    """A shell's answer."""

    end = "exit_known"

    def attempt(self, trial: Trial) -> None:
        result = self.sandbox.run(trial.challenge.shell(), timeout=trial.limit)
        trial.mark("exit_known")
        trial.text = result.stdout


class FirstByte(KitLive):
    """A line that comes before its command ends."""

    def attempt(self, trial: Trial) -> None:
        command = trial.challenge.shell(then=LATER)
        self.sandbox.run(command, on_stdout=trial.hear, timeout=trial.limit)
        trial.mark("exit_known")

    def verify(self, trial: Trial) -> None:
        super().verify(trial)
        check_streamed(trial)


class HostFirstByte(HostCommand):
    def verify(self, trial: Trial) -> None:
        super().verify(trial)
        check_streamed(trial)


def check_streamed(trial: Trial) -> None:
    """Raise Fault if the output came only with the end."""
    if trial.span("first_stdout", "exit_known") < 0.01:
        raise Fault("verify", "the output came only when the command had ended")


def commands(settings: Settings) -> list[Case]:
    """A command from call to end."""
    first = settings.profiles[0]
    cases: list[Case] = [Command(settings, profile, COMMAND) for profile in settings.profiles]
    # The same once more: what a ratio is where there is no difference.
    cases.append(Command(settings, first, COMMAND, f"sandboxkit {first} (A/A)"))
    if settings.baselines:
        cases += [
            HostCommand(COMMAND),
            ApiExec(settings, COMMAND),
            DockerExec(settings, COMMAND),
            *peer_commands(settings, COMMAND),
        ]
    return cases


def first_bytes(settings: Settings) -> list[Case]:
    """A command from call to its first line."""
    cases: list[Case] = [FirstByte(settings, profile, FIRST_BYTE) for profile in settings.profiles]
    if settings.baselines:
        cases += [
            HostFirstByte(FIRST_BYTE, then=LATER, end="answered"),
            ApiExec(settings, FIRST_BYTE, then=LATER, end="answered"),
            DockerExec(settings, FIRST_BYTE, then=LATER, end="answered"),
        ]
    return cases


class Echo(KitLive):
    """A program on a terminal that answers a line with its product with the key.

    The terminal's own echo would show nothing of who is there.
    """

    PROGRAM = f"stty -echo; echo ready; read k < {KEY_FILE}; while read n; do echo $((k * n)); done"

    def prepare(self) -> None:
        super().prepare()
        self._process: Process = self.sandbox.pty(["sh", "-c", self.PROGRAM])
        self._pieces = iter(self._process)
        self._output: Iterator[bytes] = (piece.data for piece in self._pieces)
        told = b""
        while b"ready" not in told or not told.endswith(b"\n"):
            told += next(self._output)

    def attempt(self, trial: Trial) -> None:
        self._process.write(f"{trial.challenge.a}\n")
        while "\n" not in trial.text:
            trial.hear(next(self._output).decode("utf-8", "replace"))

    def close(self) -> None:
        if self.made is not None:
            self._pieces.close()  # type: ignore[attr-defined]  # a generator
            self._process.close()
        super().close()


def echoes(settings: Settings) -> list[Case]:
    """A key and its answer."""
    return [
        Echo(settings, profile, ECHO)
        for profile in settings.profiles
        if provider_info(provider_of(profile)).capabilities.terminals
    ]


SERVER = """\
import http.server
key = int(open({name!r}).read())
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = str(key * int(self.path.split("/")[-1])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""


class Port(KitLive):
    """A new connection to a server inside, to the first byte of its answer."""

    end = "first_stdout"

    def prepare(self) -> None:
        super().prepare()
        program = SERVER.format(name=KEY_FILE)
        self._server = self.sandbox.start(["python3", "-c", program])
        url = self.sandbox.url(8000)
        self._url, self._headers = urlsplit(url.bare), dict(url.headers)

    def attempt(self, trial: Trial) -> None:
        connection = http.client.HTTPConnection(
            self._url.hostname or "", self._url.port, timeout=trial.limit
        )
        path = f"{self._url.path.rstrip('/')}/{trial.challenge.a}"
        connection.request("GET", path, headers=self._headers)
        response = connection.getresponse()
        first = response.read(1)
        trial.mark("first_stdout")
        trial.text = (first + response.read()).decode("utf-8", "replace")
        trial.mark("answered")
        connection.close()


def ports(settings: Settings) -> list[Case]:
    """A port from connecting to the first byte."""
    return [
        Port(settings, profile, PORT)
        for profile in settings.profiles
        if provider_info(provider_of(profile)).capabilities.ports
    ]
