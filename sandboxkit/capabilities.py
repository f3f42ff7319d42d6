"""What a provider does natively, and which method serves it.

Names follow one grammar: an ability is a noun (``snapshots``), a variant of it is prefixed by it
(``network_none``), a limit is a number or ``None`` for "no limit known" (``max_file_bytes``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from .errors import ConfigError

__all__ = ["METHODS", "Capabilities", "Isolation"]

Isolation = Literal["none", "namespaces", "container", "user-kernel", "microvm", "remote"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider does natively. What the core emulates on top is listed apart.

    Attributes:
        isolation: how sandboxes are kept apart from the host and from each other.
        commands: programs really run in the sandbox (false only for models).
        attach: a running process can be found again and its output resumed by cursor.
        terminals: a process can run on a terminal.
        users: commands may run as another user of the sandbox.
        code: cells of code run in contexts that keep state.
        file_ops: stat, list, mkdir, remove and rename without a command.
        trees: many files travel at once, with their times, and a large one goes on where it was.
        watch: changes in a directory are told as they happen.
        ports: what listens inside can be connected to, also without a network.
        port_urls: the provider serves ports under URLs of its own, which `url` then gives.
        metrics: what a sandbox uses can be asked for.
        mounts: host directories can be shown inside.
        lifetime_update: the lifetime of a live sandbox can be changed.
        lifetime_unlimited: a sandbox may have no end.
        idle_timeout: a sandbox in which nothing goes on ends by itself.
        pause: a sandbox can be paused and go on later.
        pause_on_timeout: it can be paused at the end of its lifetime, with no client there.
        pause_lifetime: a paused sandbox ends by itself if nobody resumes it in time.
        snapshots: filesystem snapshots.
        fork: several sandboxes can be made of a live one in one step.
        network_none: the sandbox can be cut off from every network.
        network_full: the sandbox can reach every network the host can.
        network_rules: the sandbox can be limited to named hosts and networks.
        limit_cpu: ``Resources.cpu`` is enforced.
        limit_memory: ``Resources.memory`` is enforced.
        limit_disk: ``Resources.disk`` is enforced.
        limit_pids: ``Resources.pids`` is enforced.
        images: any container image can be the template.
        max_file_bytes: the largest file that can be written or read.
        pause_keeps: what a pause keeps: ``memory`` (processes go on where they were),
            ``filesystem``, or ``None`` without ``pause``.
        languages: languages that `run_code` knows.
    """

    isolation: Isolation
    commands: bool = True
    attach: bool = False
    terminals: bool = False
    users: bool = False
    code: bool = False
    file_ops: bool = False
    trees: bool = False
    watch: bool = False
    ports: bool = False
    port_urls: bool = False
    metrics: bool = False
    mounts: bool = False
    lifetime_update: bool = False
    lifetime_unlimited: bool = False
    idle_timeout: bool = False
    pause: bool = False
    pause_on_timeout: bool = False
    pause_lifetime: bool = False
    snapshots: bool = False
    fork: bool = False
    network_none: bool = False
    network_full: bool = False
    network_rules: bool = False
    limit_cpu: bool = False
    limit_memory: bool = False
    limit_disk: bool = False
    limit_pids: bool = False
    images: bool = False
    max_file_bytes: int | None = None
    pause_keeps: Literal["filesystem", "memory"] | None = None
    languages: frozenset[str] = frozenset()

    def flags(self) -> dict[str, bool]:
        """The yes-or-no capabilities by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, bool)}

    def less(self, names: Collection[str]) -> Capabilities:
        """Without these flags.

        Raises:
            ConfigError: one of them is no flag.
        """
        unknown = set(names) - self.flags().keys()
        if unknown:
            raise ConfigError(f"without: not a capability: {', '.join(sorted(unknown))}")
        lacking: dict[str, Any] = dict.fromkeys(names, False)
        return replace(self, **lacking)

    def is_within(self, other: Capabilities) -> bool:
        """Whether nothing is declared here that `other` does not declare."""
        wider = other.flags()
        return all(wider[name] for name, declared in self.flags().items() if declared)


METHODS: dict[str, tuple[str, ...]] = {
    "attach": ("attach", "list_processes"),
    "code": ("run_code", "create_context", "list_contexts", "restart_context", "remove_context"),
    "file_ops": ("stat", "list_files", "mkdir", "remove", "rename"),
    "fork": ("fork",),
    "lifetime_update": ("set_lifetime",),
    "metrics": ("metrics",),
    "pause": ("pause", "resume"),
    "port_urls": ("port_url",),
    "ports": ("connect_port",),
    "snapshots": ("snapshot", "list_snapshots", "delete_snapshot"),
    "trees": ("walk_tree", "stat_many", "digest_many", "read_many", "write_many"),
    "watch": ("watch",),
}
"""The provider methods behind each capability. `Provider` holds a class to it both ways."""
