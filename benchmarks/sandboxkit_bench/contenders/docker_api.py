"""The engine's own HTTP API over its socket, with as few requests as it takes, and no SDK."""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import tarfile
from collections.abc import Iterator
from typing import Any

from ..case import Case
from ..challenge import own_namespace
from ..settings import Settings
from ..trial import Fault, Trial
from .docker_cli import docker, running_container

__all__ = ["ApiExec", "ApiStart", "Engine"]

SOCKET = "/var/run/docker.sock"
HEADER = 8  # kind, three bytes, length: before each piece of a stream that is multiplexed
JSON = {"Content-Type": "application/json"}


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(self._path)


class Engine:
    """One connection that is kept, and others for what takes one of its own."""

    def __init__(self) -> None:
        host = os.environ.get("DOCKER_HOST", f"unix://{SOCKET}")
        self._path = host.removeprefix("unix://")
        self._kept = _Connection(self._path)

    def ask(
        self, method: str, path: str, body: object = None, *, raw: bytes | None = None
    ) -> bytes:
        """One request; the body of the answer.

        Raises:
            Fault: the engine refuses.
        """
        content = raw if raw is not None else None if body is None else json.dumps(body)
        kind = {"Content-Type": "application/x-tar"} if raw is not None else JSON
        self._kept.request(method, path, content, kind)
        response = self._kept.getresponse()
        text = response.read()
        if response.status >= 400:
            raise Fault("error", f"{method} {path.partition('?')[0]}: {response.status} {text!r}")
        return text

    def json(self, method: str, path: str, body: object = None) -> Any:
        return json.loads(self.ask(method, path, body))

    def stream(self, path: str, body: object) -> Iterator[bytes]:
        """Standard output as it comes, without the headers between."""
        connection = _Connection(self._path)
        connection.request("POST", path, json.dumps(body), JSON)
        response = connection.getresponse()
        if response.status >= 400:
            raise Fault("error", f"{response.status} {response.read()!r}")
        return self._pieces(connection, response)

    def _pieces(
        self, connection: _Connection, response: http.client.HTTPResponse
    ) -> Iterator[bytes]:
        # An answer without a length is read up to the end of the connection, piece by piece.
        try:
            while len(header := response.read(HEADER)) == HEADER:
                length = int.from_bytes(header[4:], "big")
                while length:
                    piece = response.read1(min(length, 1 << 20))
                    if not piece:
                        raise Fault("error", "the stream broke off")
                    length -= len(piece)
                    if header[0] == 1:
                        yield piece
        finally:
            connection.close()

    def execute(self, container: str, command: list[str], cwd: str = "/tmp") -> Iterator[bytes]:
        """A command in a container: its standard output. Its status is checked at the end."""
        wanted = {"Cmd": command, "AttachStdout": True, "AttachStderr": True, "WorkingDir": cwd}
        made = self.json("POST", f"/containers/{container}/exec", wanted)["Id"]
        yield from self.stream(f"/exec/{made}/start", {"Detach": False, "Tty": False})
        status = self.json("GET", f"/exec/{made}/json")["ExitCode"]
        if status != 0:
            raise Fault("error", f"status {status}")

    def put(self, container: str, name: str, content: bytes) -> None:
        """Write a file of ``/tmp``."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        self.ask("PUT", f"/containers/{container}/archive?path=/tmp", raw=archive.getvalue())

    def get(self, container: str, name: str) -> bytes:
        """Read a file of ``/tmp``."""
        archive = self.ask("GET", f"/containers/{container}/archive?path=/tmp/{name}")
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            file = tar.extractfile(name)
            assert file is not None
            return file.read()

    def close(self) -> None:
        self._kept.close()


class ApiStart(Case):
    """Create, attach, start, and remove, by the API."""

    contender, isolation, start_class, every = "docker API", "container", "warm", 2

    def __init__(self, settings: Settings, scenario: str) -> None:
        self.scenario, self._settings = scenario, settings
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        assert self._engine is not None
        return self._engine

    def prepare(self) -> None:
        self._engine = Engine()
        docker("image", "inspect", self._settings.image)
        self.note = "create, attach, start; removed by force"

    def attempt(self, trial: Trial) -> None:
        wanted = {
            "Image": self._settings.image,
            "Cmd": ["python3", "-c", trial.challenge.python()],
            "Labels": {"sandboxkit-bench": self._settings.token},
            "HostConfig": {"NetworkMode": "none"},
            "AttachStdout": True,
        }
        made = self.engine.json("POST", "/containers/create", wanted)["Id"]
        trial.kept["container"] = made
        trial.mark("allocated")
        output = self.engine.stream(f"/containers/{made}/attach?stream=1&stdout=1", None)
        trial.mark("exec_sent")
        self.engine.ask("POST", f"/containers/{made}/start")
        for piece in output:
            trial.hear(piece.decode("utf-8", "replace"))
        if self.engine.json("POST", f"/containers/{made}/wait")["StatusCode"] != 0:
            raise Fault("error", "the program failed")
        trial.mark("exit_known")

    def verify(self, trial: Trial) -> None:
        answer = trial.challenge.check_python(trial.text)
        trial.began(answer.clock)
        if answer.namespace == own_namespace():
            raise Fault("isolation", "it ran on this machine as it is")
        self.probed = "own mnt"

    def tidy(self, trial: Trial) -> None:
        if made := trial.kept.get("container"):
            trial.mark("destroy_called")
            self.engine.ask("DELETE", f"/containers/{made}?force=1")
            trial.mark("destroy_confirmed")

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None


class ApiExec(Case):
    """A command in a container that runs, by the API."""

    contender, isolation, start_class = "docker exec (API)", "container", "live"

    def __init__(
        self, settings: Settings, scenario: str, *, then: str = "", end: str = "exit_known"
    ) -> None:
        from ..challenge import key

        self.scenario, self._settings = scenario, settings
        self._then, self.end = then, end
        self.key = key()
        self.engine = Engine()
        self.container = ""

    def prepare(self) -> None:
        self.container = running_container(self._settings, self.key)

    def attempt(self, trial: Trial) -> None:
        command = trial.challenge.shell(then=self._then)
        for piece in self.engine.execute(self.container, command):
            trial.hear(piece.decode("utf-8", "replace"))
        trial.mark("exit_known")

    def verify(self, trial: Trial) -> None:
        trial.challenge.check_shell(trial.text, self.key)

    def close(self) -> None:
        self.engine.close()
        if self.container:
            docker("rm", "-f", self.container)
            self.container = ""
