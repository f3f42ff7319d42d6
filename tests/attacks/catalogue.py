"""The attacks: what each is, whence it is known, and what keeps it from succeeding.

`Attack.held_by` names defences of which each is enough. So with all of them removed the attack must
succeed, and with all but one removed it must fail.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["ATTACKS", "UNCOUNTED", "Attack"]

ALL = ("root", "subordinate", "single")
SWITCHING = ("root", "subordinate")
"""Where sandboxes have more than one user."""


@dataclass(frozen=True)
class Attack:
    """One attempt.

    Attributes:
        name: of the function in `inside/`.
        group: the module there.
        source: whence it is known.
        held_by: the defences, each enough; empty if what holds it is `options`.
        user: who tries.
        kinds: the ways to get ids with which it means something.
        options: with which the sandbox is made, and which a control lacks or has otherwise.
        control_options: of the control.
        by_kind: where other defences hold it, by kind.
        alone: whether it may take its sandbox with it.
    """

    name: str
    group: str
    source: str
    held_by: tuple[str, ...] = ()
    user: str = "root"
    kinds: tuple[str, ...] = ALL
    options: dict[str, Any] = field(default_factory=dict)
    control_options: dict[str, Any] = field(default_factory=dict)
    by_kind: dict[str, tuple[str, ...]] = field(default_factory=dict)
    alone: bool = False

    def defences(self, kind: str) -> tuple[str, ...]:
        """What holds it where ids are of this kind."""
        return self.by_kind.get(kind, self.held_by)


_DOCKER = "Docker, seccomp profile and its tests"
_BWRAP = "bubblewrap, tests and advisories"
_GVISOR = "gVisor, syscall compatibility tests"

_ADMIN = ("filter", "capabilities", "ownership")
_ATTACH = (*_ADMIN, "landlock")
_OWN = ("filter", "capabilities")
_FILTER = ("filter",)


def _kernel(source: str, held_by: tuple[str, ...], *names: str, **options: Any) -> list[Attack]:
    return [Attack(name, "kernel", source, held_by, **options) for name in names]


def _view(source: str, held_by: tuple[str, ...], *names: str, **options: Any) -> list[Attack]:
    return [Attack(name, "view", source, held_by, **options) for name in names]


def _limit(
    source: str, options: dict[str, Any], without: dict[str, Any], *names: str, **also: Any
) -> list[Attack]:
    return [
        Attack(name, "exhaustion", source, (), options=options, control_options=without, **also)
        for name in names
    ]


_NO_IDS = {"single": ("view",)}
"""Where there is but one id, files are the user's on both sides, and nothing but the view holds."""

ATTACKS: list[Attack] = [
    *_kernel(
        "CVE-2022-0185, CVE-2023-0386; " + _DOCKER,
        _ATTACH,
        "mount_tmpfs",
        "mount_bind",
        "mount_overlay",
        "unmount",
    ),
    *_kernel("pivot_root(2); " + _DOCKER, _ATTACH, "pivot_root", alone=True),
    *_kernel("fsopen(2); " + _DOCKER, _ADMIN, "mount_by_descriptor", "open_tree_clone"),
    *_kernel("CVE-2022-0492 (release_agent)", _ATTACH, "mount_cgroup"),
    *_kernel("chroot(2); " + _GVISOR, _OWN, "chroot_escape"),
    *_kernel(
        "CVE-2022-0185, CVE-2023-32233; " + _BWRAP,
        ("filter", "nesting"),
        "unshare_user",
        "clone_user",
        "clone3_user",
    ),
    *_kernel(
        _DOCKER,
        _OWN,
        "unshare_mount",
        "unshare_net",
        "unshare_pid",
        "unshare_ipc",
        "unshare_uts",
        "unshare_cgroup",
        "unshare_time",
    ),
    *_kernel("CVE-2019-5736; " + _DOCKER, _ADMIN, "setns", "set_host_name", "set_domain_name"),
    *_kernel(
        "CVE-2019-13272; " + _DOCKER,
        _FILTER,
        "ptrace_attach",
        "ptrace_seize",
        "ptrace_me",
        "read_memory_of_another",
        "write_memory_of_another",
        "take_descriptor_of_another",
        "compare_processes",
    ),
    *_kernel("CVE-2022-29582, CVE-2023-2598; " + _DOCKER, _FILTER, "io_uring"),
    *_kernel("CVE-2016-2782 and most races since; " + _DOCKER, _FILTER, "userfaultfd"),
    *_kernel("CVE-2013-2094, CVE-2023-2235; " + _DOCKER, _FILTER, "perf_event"),
    *_kernel("CVE-2016-0728; " + _DOCKER, _FILTER, "add_key", "session_keyring", "request_key"),
    *_kernel("Shocker, 2014", _FILTER, "name_to_handle"),
    *_kernel("fanotify(7)", _FILTER, "fanotify"),
    *_kernel("personality(2); " + _DOCKER, _FILTER, "no_address_randomisation", "executable_data"),
    *_kernel("CVE-2017-5226; " + _BWRAP, _FILTER, "type_into_terminal"),
    *_kernel("CVE-2019-10063 (Flatpak)", _FILTER, "type_into_terminal_by_upper_bits"),
    *_kernel("CVE-2017-17053", _FILTER, "modify_ldt"),
    *_kernel("CVE-2017-7616; " + _DOCKER, _FILTER, "memory_policy", "bind_memory", "move_pages"),
    *_kernel("CVE-2021-26708; " + _DOCKER, _FILTER, "socket_vsock"),
    *_kernel("CVE-2016-8655, CVE-2020-14386", _ADMIN, "socket_packet"),
    *_kernel("CAP_NET_RAW, which Docker leaves", ("capabilities", "ownership"), "socket_raw"),
    *_kernel("CVE-2017-6074, CVE-2021-23133", _FILTER, "socket_unusual_protocol"),
    *_kernel("CVE-2022-32250, CVE-2024-1086", _FILTER, "netlink_netfilter", "netlink_uevents"),
    *_kernel(_GVISOR, ("capabilities", "ownership"), "change_network"),
    *_kernel("CVE-2010-3301, CVE-2014-0038 (other interfaces)", _FILTER, "old_interface"),
    *_kernel("prlimit(2)", _FILTER, "limits_of_first_process"),
    #
    *_view(
        "reading the host's files",
        ("view", "ids"),
        "read_secret",
        by_kind=_NO_IDS,
    ),
    *_view("reading the host's files", ("view", "ids"), "read_shadow", kinds=("root",)),
    *_view(_BWRAP, ("view",), "list_home", "write_outside", "unix_socket", "symlink_to_host"),
    *_view(
        "the daemon's socket, as /run/docker.sock",
        ("view", "ids"),
        "daemon_socket",
        by_kind=_NO_IDS,
    ),
    *_view(
        "CVE-2019-5736 (writing what the host runs)",
        ("read only", "ids"),
        "write_template",
        kinds=("root",),
    ),
    *_view(
        "writing kernel settings; " + _DOCKER,
        ("masks", "ids"),
        "core_pattern",
        "overcommit",
        "panic_on_oops",
        kinds=("root",),
    ),
    *_view(
        "CVE-2022-0492; privileged containers",
        ("view", "ids"),
        "release_agent",
        "notify_on_release",
        "move_out_of_group",
        "host_device",
        kinds=("root",),
    ),
    *_view(
        "masked paths of Docker and of OCI",
        ("masks",),
        "boot_parameters",
        "interrupts",
        "kernel_symbols",
    ),
    *_view(_BWRAP, ("view",), "see_processes"),
    *_view("a neighbour", ("processes",), "see_neighbours_processes", "see_zygote"),
    *_view("a neighbour", ("processes", "ids"), "signal_zygote", kinds=("root",)),
    *_view(
        "a neighbour",
        ("processes",),
        "signal_neighbours_processes",
        user="user",
        kinds=("subordinate", "single"),
    ),
    *_view(
        "CVE-2020-15257 (containerd-shim); " + _BWRAP,
        ("network",),
        "abstract_socket",
        "abstract_socket_of_neighbour",
    ),
    *_view(
        _GVISOR,
        ("network",),
        "loopback",
        "loopback_six",
        "loopback_by_any_address",
        "datagrams_to_loopback",
        "interfaces",
        "route_outside",
        "listening_ports",
    ),
    *_view(
        "a neighbour; " + _BWRAP,
        ("ipc",),
        "shared_memory_of_neighbour",
        "semaphores_of_neighbour",
        "message_queue_of_neighbour",
        "posix_queue_of_neighbour",
    ),
    *_view("learning about the host", ("host name",), "hosts_name"),
    *_view("learning about the host", ("cgroup namespace",), "group_path", kinds=("root",)),
    *_view("secrets of the client", ("environment",), "environment_of_client"),
    *_view(
        "CVE-2016-9962 (runc's init); PID 1",
        ("hidden agent", "capabilities"),
        "environment_of_agent",
        "descriptors_of_agent",
        "memory_of_agent",
        "memory_map_of_agent",
        "root_of_agent",
        "namespaces_of_agent",
        by_kind={"single": ("hidden agent",)},
    ),
    *_view(
        "CVE-2024-21626 (runc, a leaked descriptor)",
        ("descriptors", "landlock"),
        "leaked_directory",
    ),
    #
    *_limit("fork bomb", {"pids": 64}, {}, "fork_bomb", "thread_bomb"),
    *_limit(
        "memory bomb",
        {"memory": 64 << 20},
        {},
        "memory_bomb",
        "memory_bomb_by_file",
        "memory_bomb_by_children",
        kinds=("root",),
        alone=True,
    ),
    *_limit("a busy loop", {"cpu": 0.05}, {}, "processor", kinds=("root",)),
    *_limit(
        "full disk",
        {"disk": 16 << 20},
        {"disk": 512 << 20},
        "full_disk",
        "full_disk_by_allocation",
        "full_shared_memory",
        "inodes",
    ),
    Attack("terminals", "exhaustion", "pty(7): kernel.pty.max", ("terminal count",)),
    Attack("watches", "exhaustion", "inotify(7): max_user_instances", ("watch count",)),
    Attack("cores", "exhaustion", "CVE-2020-8616 and others; core(5)", ("limits",)),
]

UNCOUNTED = {
    "kernel": (
        "load_program",
        "open_by_handle",
        "load_module",
        "load_kernel",
        "set_clock",
        "account_processes",
        "ports",
        "swap",
        "quota",
        "restart",
        "device",
        "other_numbers",
        "crypto_socket",
        "kernel_log",
    ),
    "exhaustion": ("descriptors", "real_time", "higher_priority"),
    "view": (
        "keys_of_others",
        "module_loader",
        "raw_disk",
        "root_of_another_process",
        "uevent_helper",
        "leaked_working_directory",
    ),
}
"""By group: what must fail too, but no control shows that it could succeed: mostly because the
kernel asks for rights over the whole machine, which no sandbox can be given."""
