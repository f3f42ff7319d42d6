# Calls that have been the way into kernels, or out of other jails.

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import pty
import resource
import signal
import socket
import struct
import tempfile
import termios

from prelude import call, libc, sleeping_child, works

AGENT = os.getppid()  # attacks are children of ours

NEWTIME, NEWNS, NEWCGROUP, NEWUTS = 0x80, 0x20000, 0x2000000, 0x4000000
NEWIPC, NEWUSER, NEWPID, NEWNET = 0x8000000, 0x10000000, 0x20000000, 0x40000000
BIND, DETACH = 4096, 2


def _place():
    """A new directory, as the attacks of one sandbox share their mounts."""
    return tempfile.mkdtemp(dir="/var/tmp").encode()


def mount_tmpfs():
    return works("mount", b"tmpfs", _place(), b"tmpfs", 0, None)


def mount_bind():
    return works("mount", b"/usr", _place(), None, BIND, None)


def mount_overlay():
    layers, root = _place(), _place()
    call("mount", b"tmpfs", layers, b"tmpfs", 0, None)
    os.mkdir(layers + b"/upper"), os.mkdir(layers + b"/work")
    options = b"lowerdir=/usr,upperdir=%b/upper,workdir=%b/work,userxattr" % (layers, layers)
    return works("mount", b"overlay", root, b"overlay", 0, options)


def mount_cgroup():
    # What was left to do, after making namespaces, in CVE-2022-0492.
    return works("mount", b"cgroup", _place(), b"cgroup2", 0, None)


def mount_by_descriptor():
    filesystem = call("fsopen", b"tmpfs", 0)
    call("fsconfig", filesystem, 6, None, None, 0)
    return call("fsmount", filesystem, 0, 0) >= 0


def open_tree_clone():
    return call("open_tree", -100, b"/usr", 1) >= 0


def pivot_root():
    new = _place()
    call("mount", b"tmpfs", new, b"tmpfs", 0, None)
    os.mkdir(new + b"/old")
    return works("pivot_root", new, new + b"/old")


def unmount():
    place = _place()
    call("mount", b"tmpfs", place, b"tmpfs", 0, None)
    return works("umount2", place, DETACH)


def chroot_escape():
    # The classic: a second chroot, then out of it by a directory that is above.
    top = os.open("/", os.O_RDONLY)
    call("chroot", _place())
    os.fchdir(top)
    return os.path.isdir("usr")


def unshare_user():
    return works("unshare", NEWUSER)


def clone_user():
    pid = call("clone", NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


def clone3_user():
    arguments = (ctypes.c_uint64 * 8)(NEWUSER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    pid = call("clone3", arguments, ctypes.sizeof(arguments))
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


def unshare_mount():
    return works("unshare", NEWNS)


def unshare_net():
    return works("unshare", NEWNET)


def unshare_pid():
    return works("unshare", NEWPID)


def unshare_ipc():
    return works("unshare", NEWIPC)


def unshare_uts():
    return works("unshare", NEWUTS)


def unshare_cgroup():
    return works("unshare", NEWCGROUP)


def unshare_time():
    return works("unshare", NEWTIME)


def setns():
    return works("setns", os.open("/proc/self/ns/uts", os.O_RDONLY), NEWUTS)


def set_host_name():
    return works("sethostname", b"owned", 5)


def set_domain_name():
    return works("setdomainname", b"owned", 5)


def ptrace_attach():
    return works("ptrace", 16, sleeping_child(), 0, 0)


def ptrace_seize():
    return works("ptrace", 0x4206, sleeping_child(), 0, 0)


def ptrace_me():
    # By its parent: for a command that is the agent.
    return works("ptrace", 0, 0, 0, 0)


def _vector():
    buffer = ctypes.create_string_buffer(b"mark", 16)
    vector = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), 4)
    return buffer, vector


def read_memory_of_another():
    _buffer, vector = _vector()
    return call("process_vm_readv", sleeping_child(), vector, 1, vector, 1, 0) == 4


def write_memory_of_another():
    _buffer, vector = _vector()
    return call("process_vm_writev", sleeping_child(), vector, 1, vector, 1, 0) == 4


def take_descriptor_of_another():
    return call("pidfd_getfd", os.pidfd_open(sleeping_child()), 0, 0) >= 0


def compare_processes():
    return call("kcmp", os.getpid(), sleeping_child(), 0, 0, 0) >= 0


def io_uring():
    return call("io_uring_setup", 4, (ctypes.c_char * 120)()) >= 0


def userfaultfd():
    return call("userfaultfd", 1) >= 0  # of user space alone, which needs no right


def perf_event():
    attributes = (ctypes.c_uint64 * 16)()
    struct.pack_into("<IIQ", attributes, 0, 1, 128, 1)  # software: the clock of a task
    attributes[5] = 1 << 5 | 1 << 6  # neither the kernel nor a hypervisor
    return call("perf_event_open", attributes, 0, -1, -1, 0) >= 0


def add_key():
    return call("add_key", b"user", b"planted", b"x", 1, -2) > 0


def session_keyring():
    return call("keyctl", 1, b"planted") > 0


def request_key():
    # Runs a program of the host for the answer, if there is one; "no such key" means it was asked.
    try:
        return call("request_key", b"user", b"planted", b"ask", -2) > 0
    except OSError as error:
        if error.errno in (errno.ENOKEY, errno.ENOENT, errno.EKEYREJECTED):
            return True
        raise


def name_to_handle():
    handle = (ctypes.c_uint32 * 40)(128)
    mount = ctypes.c_int()
    return works("name_to_handle_at", -100, b"/usr/bin/env", handle, ctypes.pointer(mount), 0)


def fanotify():
    return call("fanotify_init", 0x200, os.O_RDONLY) >= 0  # what an ordinary user may ask for


def no_address_randomisation():
    return works("personality", 0x0040000)


def executable_data():
    return works("personality", 0x0400000)


def _terminal(request):
    """Push a character into our own terminal, as if it were typed."""
    _ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
    return works("ioctl", theirs, request, b"x")


def type_into_terminal():
    return _terminal(0x5412)


def type_into_terminal_by_upper_bits():
    # A filter that looks at all 64 bits of the request, as the kernel does not: CVE-2019-10063.
    return _terminal(0x5412 | 1 << 32)


def modify_ldt():
    return call("modify_ldt", 0, (ctypes.c_char * 16)(), 16) >= 0


def memory_policy():
    return works("set_mempolicy", 0, None, 0)


def bind_memory():
    area = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    return works("mbind", address, 4096, 0, None, 0, 0)


def move_pages():
    return works("move_pages", 0, 0, None, None, None, 0)


def kernel_log():
    return call("syslog", 10, None, 0) >= 0  # the size of what could be read


def socket_vsock():
    # Reaches the hypervisor, past every network namespace.
    socket.socket(40, socket.SOCK_STREAM).close()
    return True


def socket_packet():
    socket.socket(17, socket.SOCK_RAW, 3).close()
    return True


def socket_raw():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()
    return True


def socket_unusual_protocol():
    # As for SCTP or L2TP, the kernel would load what it takes; multipath TCP is built in.
    socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).close()
    return True


def netlink_netfilter():
    # The door of nf_tables: CVE-2022-32250, CVE-2023-32233, CVE-2024-1086.
    socket.socket(16, socket.SOCK_RAW, 12).close()
    return True


def netlink_uevents():
    socket.socket(16, socket.SOCK_RAW, 15).close()
    return True


def change_network():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH22x", b"lo", 1))  # SIOCSIFFLAGS: up
    return True


def old_interface():
    # A 32-bit system call: other numbers, so that a filter by number must look at the interface.
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, "not on this architecture")
    area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    area.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid); int 0x80; ret
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(area)))
    return function() == os.getpid()


def limits_of_first_process():
    now = resource.prlimit(AGENT, resource.RLIMIT_NOFILE)
    resource.prlimit(AGENT, resource.RLIMIT_NOFILE, now)
    return True


# Without a control, as the kernel asks for rights that no sandbox could be given: not counted.


def load_program():
    return call("bpf", 5, (ctypes.c_uint64 * 16)(), 128) >= 0


def open_by_handle():
    # "Shocker", the way out of the first Docker.
    handle = (ctypes.c_uint32 * 4)(8, 1, 2, 0)
    return call("open_by_handle_at", os.open("/", os.O_RDONLY), handle, 0) >= 0


def load_module():
    return works("init_module", b"", 0, b"")


def load_kernel():
    return works("kexec_load", 0, 0, None, 0)


def set_clock():
    return works("clock_settime", 0, (ctypes.c_long * 2)(0, 0))


def account_processes():
    return works("acct", b"/tmp/accounting")


def ports():
    return works("iopl", 3)


def swap():
    return works("swapon", b"/tmp/swap", 0)


def quota():
    return works("quotactl", 0x800002 << 8, b"/dev/vda", 0, None)


def restart():
    return works("reboot", 0xFEE1DEAD, 672274793, 0, None)  # only forbids Ctrl-Alt-Del


def device():
    os.mknod("/tmp/disk", 0o60600, os.makedev(254, 0))
    return True


def other_numbers():
    # The x32 interface, where the kernel has it.
    return libc.syscall(ctypes.c_long(0x40000000 | 39)) == os.getpid()


def crypto_socket():
    socket.socket(38, socket.SOCK_SEQPACKET).close()
    return True
