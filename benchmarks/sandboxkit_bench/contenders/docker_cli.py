"""``docker run`` and ``docker exec``, as people type them."""

from __future__ import annotations

import subprocess

from ..case import Case
from ..challenge import KEY_FILE, key
from ..settings import Settings
from ..trial import Fault, Trial
from .program import ProgramStart, listen, needed

__all__ = ["DockerExec", "DockerRun", "docker"]


def docker(*words: str, check: bool = True, data: bytes | None = None) -> str:
    """Run the client; its output.

    Raises:
        Fault: it failed.
    """
    command = [needed("docker", "docker.io"), *words]
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=120)
    if check and done.returncode != 0:
        raise Fault("error", done.stderr.decode("utf-8", "replace").strip()[-200:])
    return done.stdout.decode("utf-8", "replace").strip()


class DockerRun(ProgramStart):
    """``docker run --rm --network none``."""

    contender, isolation, every = "docker run --network none", "container", 2

    def __init__(self, settings: Settings, scenario: str, *, useful: bool = False) -> None:
        super().__init__(scenario, useful=useful)
        self._token = settings.token
        self._image = settings.data_image if useful else settings.image
        self._words: list[str] = []

    def prepare(self) -> None:
        self._words = [needed("docker", "docker.io"), "run", "--rm", "--network", "none"]
        docker("image", "inspect", self._image)
        self.note = f"image {self._image}, engine {docker('version', '-f', '{{.Server.Version}}')}"

    def command(self, program: str, trial: Trial) -> list[str]:
        label = ["--label", f"sandboxkit-bench={self._token}"]
        return [*self._words, *label, self._image, "python3", "-c", program]


class DockerExec(Case):
    """``docker exec`` in a container that runs."""

    contender, isolation, start_class = "docker exec (CLI)", "container", "live"

    def __init__(
        self, settings: Settings, scenario: str, *, then: str = "", end: str = "exit_known"
    ) -> None:
        self.scenario, self._settings = scenario, settings
        self._then, self.end = then, end
        self._key = key()
        self._container = ""

    def prepare(self) -> None:
        self._container = running_container(self._settings, self._key)

    def attempt(self, trial: Trial) -> None:
        words = [needed("docker"), "exec", "-w", "/tmp", self._container]
        listen([*words, *trial.challenge.shell(then=self._then)], trial)

    def verify(self, trial: Trial) -> None:
        trial.challenge.check_shell(trial.text, self._key)

    def close(self) -> None:
        if self._container:
            docker("rm", "-f", self._container)
            self._container = ""


def running_container(settings: Settings, secret: int) -> str:
    """A container that does nothing, with a key in ``/tmp``; its id."""
    label = f"sandboxkit-bench={settings.token}"
    image = settings.image
    words = ("run", "-d", "--network", "none", "--label", label, image, "sleep", "1200")
    container = docker(*words)
    docker("exec", "-i", container, "sh", "-c", f"cat > /tmp/{KEY_FILE}", data=b"%d\n" % secret)
    return container
