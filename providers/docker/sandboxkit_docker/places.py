"""Where our things are inside a container.

All of it is below ``/dev``, which the engine makes anew for each container: so neither a mount
point nor a file of ours is ever in a container's own layer, nor in an image committed from it.
"""

from __future__ import annotations

__all__ = ["COMMAND", "GUEST", "INSIDE", "PYTHON", "RELAY", "RUN", "SOCKET"]

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
INSIDE = f"{GUEST}/site/sandboxkit_docker/inside"
COMMAND = [*PYTHON, f"{INSIDE}/boot.py", SOCKET]
"""What a container runs as its first process."""
RELAY = [*PYTHON, f"{INSIDE}/relay.py", SOCKET]
"""Joins its standard streams to the guest's socket."""
