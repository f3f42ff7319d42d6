"""Where our things are inside a container.

All of it is below ``/dev``, which the engine makes anew for each container: so neither a mount
point nor a file of ours is ever in a container's own layer, nor in an image committed from it.
"""

from __future__ import annotations

__all__ = [
    "BUNDLING",
    "COMMAND",
    "GUEST",
    "MOUNTER",
    "OUTLET",
    "OUTLET_SOCKET",
    "PROXY",
    "PYTHON",
    "RELAY",
    "RUN",
    "SOCKET",
    "SOURCES",
]

_ROOT = "/dev/.sandboxkit"
GUEST = f"{_ROOT}/guest"
"""The volume with the guest and its interpreter, read-only."""
RUN = f"{_ROOT}/run"
"""A directory for the guest's socket; bound from the host where the engine is local."""
SOCKET = f"{RUN}/guest.sock"
PYTHON = [
    f"{GUEST}/lib/ld",
    "--library-path",
    f"{GUEST}/lib",
    f"{GUEST}/bin/python3",
    "-I",
    "-S",
    "-B",
    "-X",
    "utf8",
]
"""The guest's interpreter, which needs nothing of the image, not even a loader."""
_SITE = f"{GUEST}/site"
_INSIDE = f"{_SITE}/sandboxkit_docker/inside"
_BUNDLE = f"{_SITE}/bundle"
BUNDLING = [*PYTHON, f"{_INSIDE}/bundle.py", _SITE, _BUNDLE]
"""Makes the bundle of the guest's modules, once all else is in the volume."""
_BOOT = [*PYTHON, f"{_INSIDE}/boot.py", _BUNDLE]
COMMAND = [*_BOOT, "first", SOCKET]
"""What a container runs as its first process."""
OUTLET = f"{_ROOT}/outlet"
"""A directory that a sandbox with rules shares with its egress proxy."""
OUTLET_SOCKET = f"{OUTLET}/proxy.sock"
PROXY = [*_BOOT, "proxy", OUTLET_SOCKET]
"""What the container of an egress proxy runs."""
SOURCES = f"{_ROOT}/sources"
"""Where the container that mounts has the directories of the host, by their numbers."""
MOUNTER = [*_BOOT, "mounter", SOURCES]
"""What the container runs that puts directories of the host into a sandbox."""
RELAY = [*PYTHON, f"{_INSIDE}/relay.py", SOCKET]
"""Joins its standard streams to the guest's socket."""
