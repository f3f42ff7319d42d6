"""What mends a system on which sandboxes cannot be made."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["INSTEAD", "namespace_fix"]

INSTEAD = "or use the docker provider instead"

_SWITCHES = (
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


def namespace_fix() -> str:
    """The command that lets this user make namespaces, as far as we can tell what forbids it."""
    for name, forbidding, command in _SWITCHES:
        try:
            value = Path("/proc/sys", name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if value == forbidding:
            return command
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        return "start this container with --privileged"
    return "let this process make user namespaces: no seccomp or LSM profile may forbid it"
