"""What the guest brings into a container: its interpreter with all it needs, and the agent.

The interpreter is this machine's own, or another that `collect` has described.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from sandboxkit import egress
from sandboxkit.errors import ProviderUnavailableError
from sandboxkit.guest import agent

from . import inside, places
from .inside import collect

__all__ = [
    "agent_files",
    "collect_script",
    "digest",
    "fits",
    "pack",
    "pack_agent",
    "this_interpreter",
]

_LAYOUT = 5  # raise it when the arrangement of the files changes
# The packages above ours, whose own modules no guest needs.
_STAND_INS = ("sandboxkit", "sandboxkit/guest", "sandboxkit_docker")
_WRAPPER_NAME = "bin/python"
_WRAPPER = f'#!/bin/sh\nexec {" ".join(places.PYTHON[:4])} "$@"\n'
# The kernel's name of a machine to the engine's.
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


def fits(system: str, machine: str) -> bool:
    """Whether this machine's interpreter runs on an engine.

    Args:
        system: the engine's ``Os``, such as ``linux``.
        machine: its ``Arch``, such as ``amd64``.
    """
    own = platform.machine()
    return platform.system() == "Linux" and system == "linux" and _MACHINES.get(own, own) == machine


@functools.cache
def digest() -> str:
    """Names what `pack` would make here; the same as long as neither we nor Python change."""
    found = hashlib.sha256(f"{_LAYOUT} {sys.version} {sys.base_prefix}".encode())
    for name, content in sorted(agent_files().items()):
        found.update(f"\0{name}\0".encode())
        found.update(content)
    return found.hexdigest()[:16]


@functools.cache
def agent_files() -> dict[str, bytes]:
    """Our own files, by their paths in the volume."""
    files = {f"site/{name}/__init__.py": b"" for name in _STAND_INS}
    for package in (agent, egress, inside):
        place = "site/" + package.__name__.replace(".", "/")
        top = _directory(package.__file__)
        for path in sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                files[f"{place}/{path.relative_to(top).as_posix()}"] = path.read_bytes()
    files[_WRAPPER_NAME] = _WRAPPER.encode()
    return files


def collect_script() -> str:
    """The program that describes the interpreter by which it is run."""
    return Path(_directory(inside.__file__), "collect.py").read_text("utf-8")


def _directory(file: str | None) -> Path:
    assert file is not None
    return Path(file).parent


def this_interpreter() -> dict[str, Any]:
    """What this machine's interpreter consists of. Takes a second.

    Raises:
        ProviderUnavailableError: it does not say.
    """
    script = [sys.executable, "-I", "-S", "-W", "ignore", "-c", collect_script()]
    ran = subprocess.run(script, capture_output=True, check=False)
    try:
        found: dict[str, Any] = json.loads(ran.stdout)
    except ValueError:
        reason = ran.stderr.decode("utf-8", "replace").strip()[-300:]
        raise ProviderUnavailableError(
            f"{sys.executable} cannot be brought into containers: {reason}",
            hint="name an image with Python in the setting guest_image",
        ) from None
    return found


def pack(interpreter: Mapping[str, Any], into: IO[bytes]) -> None:
    """Write a tar file of everything. Takes seconds.

    Args:
        interpreter: as `this_interpreter` or `collect` says.
        into: written to.
    """
    with tarfile.open(fileobj=into, mode="w") as archive:
        for name, path in collect.layout(interpreter):
            _add_file(archive, name, path)
        _add_agent(archive)


def pack_agent(into: IO[bytes]) -> None:
    """Write a tar file of our own files, for an interpreter that is brought by other means."""
    with tarfile.open(fileobj=into, mode="w") as archive:
        _add_agent(archive)


def _add_agent(archive: tarfile.TarFile) -> None:
    for name, content in agent_files().items():
        _add(archive, name, content, 0o755 if name == _WRAPPER_NAME else 0o644)


def _add_file(archive: tarfile.TarFile, name: str, path: str) -> None:
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            info = _info(name, found.st_size, 0o755 if found.st_mode & 0o100 else 0o644)
            info.mtime = int(found.st_mtime)  # a compiled module is held against its source's
            archive.addfile(info, file)
    except FileNotFoundError:
        return  # a dangling link


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    archive.addfile(_info(name, len(content), mode), io.BytesIO(content))


def _info(name: str, size: int, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, mode
    return info
