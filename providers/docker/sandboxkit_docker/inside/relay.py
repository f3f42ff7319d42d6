"""Joins its standard streams to the guest's socket, for clients that cannot reach it themselves."""

import ctypes
import os
import socket
import sys
import threading

_CHUNK = 1 << 16
_PR_SET_DUMPABLE = 4


def _copy_in(sock):
    # type: (socket.socket) -> None
    try:
        while True:
            data = os.read(0, _CHUNK)
            if not data:
                break
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        os._exit(1)


def main():
    # type: () -> None
    """Copy both ways until the guest hangs up."""
    # A command that runs as root inside must not look into what is the client's.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(sys.argv[1])
    threading.Thread(target=_copy_in, args=(sock,), daemon=True).start()
    while True:
        data = sock.recv(_CHUNK)
        if not data:
            os._exit(0)
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]


main()
