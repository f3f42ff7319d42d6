"""A template written in Python: what to install, copy and run on top of an image."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass, replace
from typing import Any

from .errors import InvalidRequestError

__all__ = ["Template"]

_PIP = "PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore python3 -m pip install"
_APT = "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends"


@dataclass(frozen=True, slots=True)
class Template:
    """An image, and steps on top of it. Every method returns a new template.

    Give it to `create`, where the provider can build. What was built once is found again by its
    content: the steps, the copied files and the image below.

    Example:
        >>> template = (
        ...     Template.from_image("python:3.13-slim")
        ...     .apt("git")
        ...     .pip("pandas==2.2.3")
        ...     .env(GREETING="hello")
        ...     .workdir("/srv")
        ... )
        >>> print(template.dockerfile().splitlines()[0])
        FROM python:3.13-slim
    """

    image: str = ""
    lines: tuple[str, ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
    directory: str | None = None

    @classmethod
    def from_image(cls, image: str) -> Template:
        """Begin with an image.

        Raises:
            InvalidRequestError: it is no image's name.
        """
        if not image or any(sign.isspace() for sign in image):
            raise InvalidRequestError(f"template: {image!r} is no image's name")
        return cls(image=image)

    @classmethod
    def from_dockerfile(cls, directory: str | os.PathLike[str]) -> Template:
        """A directory with a Dockerfile, built as it stands; it takes no further steps.

        Raises:
            InvalidRequestError: there is no Dockerfile in it.
        """
        path = os.path.abspath(directory)
        if not os.path.isfile(os.path.join(path, "Dockerfile")):
            raise InvalidRequestError(f"template: there is no Dockerfile in {path}")
        return cls(directory=path)

    def apt(self, *packages: str) -> Template:
        """Install Debian packages."""
        return self.run(f"{_APT} {_quoted(packages)} && rm -rf /var/lib/apt/lists/*")

    def pip(self, *packages: str) -> Template:
        """Install Python packages into the image's own Python."""
        return self.run(f"{_PIP} --no-cache-dir {_quoted(packages)}")

    def copy(self, source: str | os.PathLike[str], target: str) -> Template:
        """Copy a file, or what is in a directory, of this machine.

        Raises:
            InvalidRequestError: it is not there, or `target` is not absolute.
        """
        path = os.path.abspath(source)
        if not os.path.exists(path):
            raise InvalidRequestError(f"template: copy: there is no {path}")
        _check_absolute("copy", target)
        name = f"copied/{len(self.copies)}"
        step = self._step(f"COPY {json.dumps([name, target])}")
        return replace(step, copies=(*self.copies, (name, path)))

    def run(self, command: str) -> Template:
        """Run a command with the image's ``sh -c``, as root unless `user` was said before."""
        if not command.strip() or "\0" in command:
            raise InvalidRequestError(f"template: run: {command!r} is no command")
        return self._step(f"RUN {json.dumps(['/bin/sh', '-c', command])}")

    def env(self, **variables: str) -> Template:
        """Set variables, for later steps and for sandboxes. An image shows them to everybody."""
        step = self
        for name, value in variables.items():
            if "\0" in value or "\n" in value:
                raise InvalidRequestError(f"template: env: the value of {name} has several lines")
            escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
            step = step._step(f'ENV {name}="{escaped}"')
        return step

    def workdir(self, path: str) -> Template:
        """Where later steps and commands begin; made if it is missing."""
        _check_absolute("workdir", path)
        return self._step(f"WORKDIR {path}")

    def user(self, name: str) -> Template:
        """Who runs later steps, and commands in sandboxes."""
        if not name or any(sign.isspace() for sign in name):
            raise InvalidRequestError(f"template: user: {name!r} is no user's name")
        return self._step(f"USER {name}")

    def dockerfile(self) -> str:
        """The template as a Dockerfile."""
        if self.directory is not None:
            with open(os.path.join(self.directory, "Dockerfile"), encoding="utf-8") as file:
                return file.read()
        return "\n".join((f"FROM {self.image}", *self.lines, ""))

    def recipe(self) -> dict[str, Any]:
        """What a provider is told: ``dockerfile``, and ``copies`` or ``directory``."""
        return {
            "dockerfile": self.dockerfile(),
            "copies": dict(self.copies),
            "directory": self.directory,
        }

    def _step(self, line: str) -> Template:
        if self.directory is not None:
            raise InvalidRequestError("template: steps go into the Dockerfile it is made from")
        return replace(self, lines=(*self.lines, line))


def _quoted(packages: tuple[str, ...]) -> str:
    if not packages or not all(name.strip() for name in packages):
        raise InvalidRequestError("template: name the packages to install")
    return " ".join(shlex.quote(name) for name in packages)


def _check_absolute(step: str, path: str) -> None:
    if not path.startswith("/") or "\n" in path or "\0" in path:
        raise InvalidRequestError(f"template: {step}: {path!r} is not an absolute path")
