# What a sandbox can see or reach that is not its own.

import os
import socket

from prelude import PLANTED, call, libc, on_hosts, opens

AGENT = os.getppid()


def read_secret():
    return on_hosts(lambda host: PLANTED["secret"] in open(host + PLANTED["secret_file"]).read())


def read_shadow():
    return on_hosts(lambda host: "root:" in open(host + "/etc/shadow").read())


def list_home():
    return on_hosts(lambda host: "marker" in os.listdir(host + PLANTED["open_directory"]))


def write_outside():
    def write(host):
        path = f"{host}{PLANTED['open_directory']}/written"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        os.unlink(path)
        return True

    return on_hosts(write)


def unix_socket():
    # As /run/docker.sock, which is root on the host.
    def connect(host):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"{host}{PLANTED['open_directory']}/socket")
        return True

    return on_hosts(connect)


def daemon_socket():
    def connect(host):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(host + PLANTED["daemon_socket"])
        return True

    return on_hosts(connect)


def symlink_to_host():
    os.symlink("../../../../../../../.." + PLANTED["open_directory"], "/tmp/link")
    if os.path.exists("/tmp/link/marker"):
        return True
    os.symlink("../../../../mnt" + PLANTED["open_directory"], "/tmp/other")
    return os.path.exists("/tmp/other/marker")


def write_template():
    return opens("/usr/lib/os-release", os.O_WRONLY)


def core_pattern():
    return opens("/proc/sys/kernel/core_pattern", os.O_WRONLY)


def module_loader():
    return opens("/proc/sys/kernel/modprobe", os.O_WRONLY)


def overcommit():
    return opens("/proc/sys/vm/overcommit_memory", os.O_WRONLY)


def panic_on_oops():
    return opens("/proc/sys/kernel/panic_on_oops", os.O_WRONLY)


def uevent_helper():
    return on_hosts(lambda host: opens(host + "/sys/kernel/uevent_helper", os.O_WRONLY))


def release_agent():
    return on_hosts(lambda host: opens(host + "/sys/fs/cgroup/freezer/release_agent", os.O_WRONLY))


def notify_on_release():
    return on_hosts(
        lambda host: opens(host + "/sys/fs/cgroup/freezer/notify_on_release", os.O_WRONLY)
    )


def move_out_of_group():
    return on_hosts(lambda host: opens(host + "/sys/fs/cgroup/pids/cgroup.procs", os.O_WRONLY))


def host_device():
    return on_hosts(lambda host: opens(f"{host}/dev/{PLANTED['device']}", os.O_RDONLY))


def raw_disk():
    def read(host):
        with open(f"{host}/dev/{PLANTED['disks'][0]}", "rb", buffering=0) as file:
            return len(file.read(512)) == 512

    return on_hosts(read)


def boot_parameters():
    return bool(open("/proc/cmdline").read())


def interrupts():
    return bool(open("/proc/interrupts").read())


def kernel_symbols():
    return bool(open("/proc/kallsyms").read(100))


def keys_of_others():
    return bool(open("/proc/key-users").read())


def _titles(host):
    for name in os.listdir(host + "/proc"):
        if name.isdigit():
            try:
                with open(f"{host}/proc/{name}/cmdline", "rb") as file:
                    yield int(name), file.read()
            except OSError:
                continue


def _ours(pid):
    """Whether it is the agent of this sandbox, or an interpreter that was forked from that."""
    with open(f"/proc/{pid}/stat") as file:
        return AGENT in (pid, int(file.read().rpartition(")")[2].split()[1]))


def see_processes():
    mark = PLANTED["process"].encode()
    return on_hosts(lambda host: any(mark in title for _, title in _titles(host)))


def see_neighbours_processes():
    return any(PLANTED["neighbour"].encode() in title for _, title in _titles(""))


def signal_neighbours_processes():
    for pid, title in _titles(""):
        if PLANTED["neighbour"].encode() in title:
            os.kill(pid, 0)
            return True
    return False


def see_zygote():
    return any(b"sandboxkit-zygote" in title and not _ours(pid) for pid, title in _titles(""))


def signal_zygote():
    for pid, title in _titles(""):
        if b"sandboxkit-zygote" in title and pid != 1 and not _ours(pid):
            os.kill(pid, 0)
            return True
    return False


def root_of_another_process():
    for pid, _ in _titles("/mnt" if os.path.exists("/mnt/proc/1") else ""):
        if pid != AGENT and os.path.exists(f"/mnt/proc/{pid}/root/etc/shadow"):
            return True
    return False


def _connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(5)
        sock.connect(address)
        return sock.recv(4) == b"host"


def loopback():
    return _connect(socket.AF_INET, ("127.0.0.1", PLANTED["port"]))


def loopback_six():
    return _connect(socket.AF_INET6, ("::1", PLANTED["port_six"]))


def loopback_by_any_address():
    return _connect(socket.AF_INET, ("0.0.0.0", PLANTED["port"]))


def abstract_socket():
    return _connect(socket.AF_UNIX, b"\0" + PLANTED["abstract"].encode())


def abstract_socket_of_neighbour():
    return _connect(socket.AF_UNIX, b"\0neighbour-" + PLANTED["abstract"].encode())


def datagrams_to_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.connect(("127.0.0.1", PLANTED["port_datagram"]))
        sock.send(b"?")
        return sock.recv(4) == b"host"


def interfaces():
    return [name for _, name in socket.if_nameindex()] != ["lo"]


def route_outside():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))  # sends nothing; fails where there is no way
    return True


def listening_ports():
    port = f"{PLANTED['port']:04X}"
    return any(line.split()[1].endswith(":" + port) for line in open("/proc/net/tcp"))


def shared_memory_of_neighbour():
    return libc.shmget(PLANTED["key"], 0, 0) >= 0


def semaphores_of_neighbour():
    return libc.semget(PLANTED["key"], 0, 0) >= 0


def message_queue_of_neighbour():
    return libc.msgget(PLANTED["key"], 0) >= 0


def posix_queue_of_neighbour():
    return call("mq_open", PLANTED["abstract"].encode(), os.O_RDONLY, 0, None) >= 0


def hosts_name():
    return os.uname().nodename == PLANTED["host_name"]


def group_path():
    return any(line.rstrip("\n").rpartition(":")[2] != "/" for line in open("/proc/self/cgroup"))


def environment_of_client():
    return PLANTED["variable"] in os.environ.values()


def environment_of_agent():
    return len(open(f"/proc/{AGENT}/environ", "rb").read()) >= 0


def descriptors_of_agent():
    return bool(os.readlink(f"/proc/{AGENT}/fd/0"))


def memory_of_agent():
    return opens(f"/proc/{AGENT}/mem", os.O_RDONLY)


def memory_map_of_agent():
    return bool(open(f"/proc/{AGENT}/maps").read())


def root_of_agent():
    return bool(os.listdir(f"/proc/{AGENT}/root/"))


def namespaces_of_agent():
    return opens(f"/proc/{AGENT}/ns/mnt", os.O_RDONLY)


def leaked_directory():
    # runc's CVE-2024-21626: a descriptor of the host that the command inherits.
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            found = os.open("etc/passwd", os.O_RDONLY, dir_fd=fd)
        except OSError as error:
            last = error
            continue
        return os.read(found, 5) == b"root:"
    raise last


def leaked_working_directory():
    # The same hole by another way: /proc/self/fd/N as a place to go to.
    for fd in range(3, 64):
        try:
            os.chdir(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if os.getcwd().startswith("(unreachable)") or os.path.exists("etc/passwd"):
            return bool(os.listdir("."))
    return False
