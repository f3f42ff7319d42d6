# Runs in a sandbox, before one of its neighbours: tries attacks and says which succeeded.
#
# An attack is a function that returns something true if it succeeded, and else something false or
# raises. Each is tried in a process of its own. Only what Python brings is needed.

import ctypes
import errno
import json
import os
import signal

from given import NUMBERS, PLANTED  # of system calls here; what there is to find

__all__ = [
    "PLANTED",
    "call",
    "libc",
    "main",
    "on_hosts",
    "opens",
    "sleeping_child",
    "works",
]

HOSTS = ("", "/mnt")  # where the host's files would be: at their place, or where a control has them

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
PATIENCE = 20


def call(name, *arguments):
    """A system call by name; its result, or an OSError."""
    if NUMBERS[name] is None:
        raise OSError(errno.ENOSYS, "not on this architecture")
    words = [
        ctypes.c_char_p(a)
        if isinstance(a, bytes)
        else a
        if isinstance(a, (ctypes.Array, ctypes._Pointer, ctypes.c_void_p)) or a is None
        else ctypes.c_long(a)
        for a in arguments
    ]
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *words)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def works(name, *arguments):
    call(name, *arguments)
    return True


def sleeping_child():
    """A process of ours that does nothing; it ends with us."""
    ready, going = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc.prctl(1, signal.SIGKILL)
        os.close(ready)
        os.write(going, b"!")
        signal.pause()
        os._exit(0)
    os.read(ready, 1)
    return pid


def on_hosts(function):
    """Try something with each place where the host could be; true if one of them works."""
    last = None
    for place in HOSTS:
        try:
            if function(place):
                return True
        except OSError as error:
            last = error
    if last is not None:
        raise last
    return False


def opens(path, flags):
    os.close(os.open(path, flags))
    return True


def attempt(attack):
    """Outcome of one attack: whether it succeeded, and what it said."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = [False, "no result"]
        try:
            os.setsid()
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE)
            said = [bool(attack()), "it returned"]
        except OSError as error:
            said = [False, f"{errno.errorcode.get(error.errno, error.errno)}: {error}"]
        except MemoryError:
            said = [False, "MemoryError"]
        except RuntimeError as error:
            said = [False, f"RuntimeError: {error}"]
        finally:
            os.write(writing, json.dumps(said).encode())
            os._exit(0)
    os.close(writing)
    # First its end: what it has started may have the pipe for longer.
    _, status = os.waitpid(pid, 0)
    os.set_blocking(reading, False)
    try:
        said = os.read(reading, 4096)
    except BlockingIOError:
        said = b""
    os.close(reading)
    if not said:
        return [False, f"died with status {os.waitstatus_to_exitcode(status)}"]
    return json.loads(said)


def main(attacks, names):
    for name in names:
        print(json.dumps({name: attempt(attacks[name])}), flush=True)
