"""The Docker Engine as tests see it: asked directly, without the provider under test."""

from __future__ import annotations

import functools
import http.client
import json
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

SOCKET = "/var/run/docker.sock"
IMAGES = ("base", "data", "musl", "node", "scratch")


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(SOCKET)


def ask(method: str, path: str, body: object = None) -> tuple[int, Any]:
    """One request; the status and the answer, as an object if it is one."""
    connection = _Connection("engine")
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    try:
        return response.status, json.loads(text)
    except ValueError:
        return response.status, text.decode("utf-8", "replace")


def inspect(container: str) -> dict[str, Any]:
    """A container."""
    return ask("GET", f"/containers/{container}/json")[1]


def containers(**labels: str) -> list[dict[str, Any]]:
    """All that carry these labels (named without our prefix), in any state."""
    wanted = [f"sandboxkit.{name}={value}" for name, value in labels.items()]
    filters = quote(json.dumps({"label": wanted}))
    return ask("GET", f"/containers/json?all=1&filters={filters}")[1]


@functools.cache
def why_not() -> str:
    """Why the tests that need an engine cannot run; empty if they can."""
    try:
        status, _ = ask("GET", "/version")
    except OSError as error:
        return f"no engine answers at {SOCKET}: {error.strerror or error} (try: .ci/docker-engine)"
    if status != 200:
        return f"the engine at {SOCKET} answers with status {status}"
    missing = [
        name for name in IMAGES if ask("GET", f"/images/sandboxkit-test:{name}/json")[0] != 200
    ]
    if missing:
        return f"the engine lacks the images {', '.join(missing)} (try: .ci/docker-images)"
    return ""


def is_needed() -> bool:
    """Whether going without an engine is a failure."""
    return os.environ.get("CI", "").lower() in ("1", "true")


@dataclass(frozen=True)
class EngineCensus:
    """What there is on the engine that could be ours.

    Attributes:
        containers: in any state.
        volumes: but for those with the guest, which are made once for an engine and are nobody's.
        images: snapshots by id, those without a name included.
        networks: by name.
        processes: those that hold containers.
        mounts: of files or networks of containers that are no more, whoever's they were.
    """

    containers: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    processes: frozenset[str] = frozenset()
    mounts: frozenset[str] = frozenset()

    @classmethod
    def take(cls, owner: str) -> EngineCensus:
        """Count now what is this owner's; others may be at work on the same engine."""
        if why_not():
            return cls()
        mine = [*containers(kind="sandbox", owner=owner), *containers(kind="egress", owner=owner)]
        ids = [item["Id"] for item in mine]
        volumes = [
            volume
            for volume in ask("GET", "/volumes")[1]["Volumes"] or []
            # Another run's proxy shares one with its sandbox for as long as the two live.
            if (volume.get("Labels") or {}).get("sandboxkit.owner", owner) == owner
        ]
        return cls(
            containers=frozenset(
                f"{item['Id'][:12]} {item['State']} {item['Labels']}" for item in mine
            ),
            volumes=frozenset(_names(volumes)),
            images=frozenset(_images(owner)),
            networks=frozenset(item["Name"] for item in ask("GET", "/networks")[1]),
            processes=frozenset(line for line in _holders() if any(one in line for one in ids)),
            mounts=frozenset(_orphaned_mounts()),
        )

    def since(self, before: EngineCensus) -> dict[str, list[str]]:
        """What was not there before, by kind; empty if there is nothing."""
        new = {
            field.name: sorted(getattr(self, field.name) - getattr(before, field.name))
            for field in fields(self)
        }
        return {kind: found for kind, found in new.items() if found}


def _images(owner: str) -> list[str]:
    filters = quote(json.dumps({"label": [f"sandboxkit.owner={owner}"]}))
    return [item["Id"] for item in ask("GET", f"/images/json?all=1&filters={filters}")[1]]


def _names(volumes: Iterable[Mapping[str, Any]]) -> list[str]:
    # Volumes with the guest are nobody's: any run may be publishing one just now.
    nobodys = ("guest", "guest-content")
    return [
        volume["Name"]
        for volume in volumes
        if (volume.get("Labels") or {}).get("sandboxkit.kind") not in nobodys
    ]


def _holders() -> list[str]:
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                command = Path(entry.path, "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"containerd-shim" in command[0]:
                found.append(b" ".join(command).decode("utf-8", "replace"))
    return found


def _orphaned_mounts() -> list[str]:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    # Other engines, such as those that tests have for themselves, keep theirs elsewhere.
    ours = [
        point
        for point in points
        if point.startswith(("/var/lib/docker/", "/run/docker/netns/"))
        and ("/netns/" in point or point.endswith("/merged"))
    ]
    if not ours:
        return []
    used = set()
    for item in ask("GET", "/containers/json?all=1")[1]:
        shown = inspect(item["Id"])
        if "Id" in shown:
            used.add((shown["GraphDriver"]["Data"] or {}).get("MergedDir"))
            used.add(os.path.realpath(shown["NetworkSettings"]["SandboxKey"] or "/"))
    return [point for point in ours if point not in used and os.path.realpath(point) not in used]
