# Taking more than a sandbox was given.

import mmap
import os
import resource
import signal
import threading
import time

from prelude import call, libc

FORKS = 150
MIB = 1 << 20


def fork_bomb():
    made = []
    try:
        for _ in range(FORKS):
            pid = os.fork()
            if pid == 0:
                libc.prctl(1, signal.SIGKILL)
                signal.pause()
            made.append(pid)
    finally:
        for pid in made:
            os.kill(pid, signal.SIGKILL)
        for pid in made:
            os.waitpid(pid, 0)
    return True


def thread_bomb():
    end = threading.Event()
    try:
        for _ in range(FORKS):
            threading.Thread(target=end.wait, daemon=True).start()
    finally:
        end.set()
    return True


def memory_bomb():
    block = mmap.mmap(-1, 128 * MIB)
    for position in range(0, len(block), 4096):
        block[position] = 1
    return True


def memory_bomb_by_file():
    fd = os.memfd_create("bomb")
    for _ in range(128):
        os.write(fd, b"x" * MIB)
    return True


def memory_bomb_by_children():
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            libc.prctl(1, signal.SIGKILL)  # the one that made us may be killed first
            block = mmap.mmap(-1, 32 * MIB)
            for position in range(0, len(block), 4096):
                block[position] = 1
            os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(0)
        children.append(pid)
    stopped = [os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1]) for pid in children]
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    return all(stopped)


def _fill(path, mib):
    with open(path, "wb", buffering=0) as file:
        for _ in range(mib):
            if file.write(b"x" * MIB) < MIB:
                return False
    return True


def full_disk():
    return _fill("/tmp/full", 24)


def full_disk_by_allocation():
    fd = os.open("/tmp/allocated", os.O_CREAT | os.O_WRONLY)
    os.posix_fallocate(fd, 0, 24 * MIB)
    return True


def full_shared_memory():
    return _fill("/dev/shm/full", 12)


def inodes():
    os.mkdir("/tmp/many")
    top = os.open("/tmp/many", os.O_RDONLY)
    first = os.open("first", os.O_CREAT | os.O_WRONLY, dir_fd=top)
    os.close(first)
    for number in range(17_000):
        os.mknod(f"{number}", dir_fd=top)
    return True


def descriptors():
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for _ in range(65_600):
        os.dup(0)
    return True


def cores():
    resource.setrlimit(resource.RLIMIT_CORE, (1, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    return True


def processor():
    # On each core, and a tenth of one is much of what a busy machine has left.
    began = time.monotonic()
    for _ in range(4):
        if os.fork() == 0:
            while time.monotonic() < began + 1.0:
                pass
            os._exit(0)
    for _ in range(4):
        os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime > 0.1 * (time.monotonic() - began)


def terminals():
    # The kernel's 4,096 are for the whole machine.
    for _ in range(300):
        os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    return True


def watches():
    # By default 128 for all that one user runs, in whatever namespace.
    for _ in range(40):
        call("inotify_init1", 0)
    return True


def real_time():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return True


def higher_priority():
    os.setpriority(os.PRIO_PROCESS, 0, -1)
    return True
