"""Where the engine is: what was said to us, or what Docker's own command line would take."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

__all__ = ["locate", "without_password"]

_DEFAULT = "/var/run/docker.sock"
_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock", "~/.docker/run/docker.sock")


def locate(host: str | None) -> tuple[str | None, str | None]:
    """The engine's address, or else the name of the context that says it.

    The order is that of Docker's own command line: what was said here, then ``DOCKER_HOST``, then
    a context, then the usual sockets.
    """
    address = host or os.environ.get("DOCKER_HOST")
    if address:
        return address, None
    context = os.environ.get("DOCKER_CONTEXT") or _current_context()
    if context and context != "default":
        address = _address_of(context)
        return (address, None) if address else (None, context)
    rootless = os.environ.get("XDG_RUNTIME_DIR")
    for name in (*_SOCKETS, *([f"{rootless}/docker.sock"] if rootless else ())):
        path = Path(name).expanduser()
        if path.is_socket():
            return f"unix://{path}", None
    return f"unix://{_DEFAULT}", None


def without_password(address: str) -> str:
    """An address as it may be shown."""
    return re.sub(r"(//[^:/@]*):[^/@]*@", r"\1@", address)


def _current_context() -> str:
    return str(_read("config.json").get("currentContext") or "")


def _address_of(context: str) -> str:
    """A context's address, where that is all there is to it; others have certificates too."""
    name = hashlib.sha256(context.encode()).hexdigest()
    endpoints = _read("contexts", "meta", name, "meta.json").get("Endpoints") or {}
    address = str((endpoints.get("docker") or {}).get("Host") or "")
    return address if address.startswith(("unix://", "ssh://")) else ""


def _read(*names: str) -> dict[str, Any]:
    """What one of the files says that Docker's command line writes."""
    path = Path(os.environ.get("DOCKER_CONFIG", "~/.docker"), *names).expanduser()
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
