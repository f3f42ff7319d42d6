"""Runs inside a sandbox: joins its standard streams to the guest, which it starts if there is none.

It is run as ``python3 -c TEXT``, by any Python from 3.8, and imports nothing of ours. On a terminal
it lets bytes pass as they are.

What it reads are messages: a kind (1 byte), a length (4 bytes), a patience in tenths of a second
(2 bytes), all in network order, and the content. `ARCHIVE` is what to start a guest from, the
length of its orders (4 bytes), the orders, and a gzipped tar file; it is for nothing where a guest
runs already. `DATA` goes to the guest. If nothing comes for as long as the last message's patience,
whoever sent it is gone, and so is this program: a vendor may keep a command whose client died.
The first messages may also be in variables, in Base64, which saves the way that sending them takes.

What it writes are lines: ``sandboxkit need`` and ``sandboxkit ready``, or ``sandboxkit refused``
(the orders) or ``sandboxkit failed``, with the reason; from then on Base64 of what the guest sends,
as the vendor may take output for text. What a login shell prints before is not ours and is passed
over.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import fcntl
import io
import json
import os
import select
import socket
import stat
import struct
import subprocess
import sys
import tarfile
import threading
import tty
from typing import List, NoReturn, Optional, Tuple

HEADER = struct.Struct("!BIH")
FIRST = "SANDBOXKIT_FIRST_"
ARCHIVE, DATA = 1, 2
LARGEST = 1 << 26
CHUNK = 48 << 10
FIRST_PATIENCE = 60.0
PR_SET_DUMPABLE = 4


def say(line: str) -> None:
    view = memoryview(line.encode() + b"\n")
    while view:
        view = view[os.write(1, view) :]


def fail(reason: object, how: str = "failed") -> NoReturn:
    say("sandboxkit %s %s" % (how, " ".join(str(reason).split())[-2000:]))
    sys.exit(1)


def first() -> str:
    """What is in the variables; what is started here does not get them."""
    pieces: List[str] = []
    while FIRST + str(len(pieces)) in os.environ:
        pieces.append(os.environ.pop(FIRST + str(len(pieces))))
    return "".join(pieces)


class Messages:
    """What comes on standard input."""

    def __init__(self) -> None:
        self.buffer = bytearray(base64.b64decode(first()))
        self.patience = FIRST_PATIENCE

    def next(self) -> Tuple[int, bytes]:
        """The kind and content of the next message; ends the program if none comes."""
        kind, length, patience = HEADER.unpack(self.take(HEADER.size))
        if length > LARGEST:
            os._exit(1)
        content = self.take(length)
        self.patience = patience / 10.0
        return kind, content

    def take(self, size: int) -> bytes:
        """So many bytes; ends the program if they do not come."""
        while len(self.buffer) < size:
            if not select.select([0], [], [], self.patience)[0]:
                os._exit(0)
            data = os.read(0, 1 << 18)
            if not data:
                os._exit(0)
            self.buffer += data
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken


def directory() -> str:
    """A place of our own that no snapshot of the disk holds, where there is one."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else "/tmp"
    path = "%s/.sandboxkit-%d" % (base, os.getuid())
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        fail("%s is somebody else's" % path)
    return path


def connect(path: str) -> Optional[socket.socket]:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        return None
    return sock


def start(place: str, listen: str, content: bytes) -> None:
    """Start a guest and return when it serves."""
    (size,) = struct.unpack_from("!I", content)
    orders, packed = content[4 : 4 + size], content[4 + size :]
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        archive.extractall(place)
    python = [sys.executable, "-I", "-S", "-B", "-X", "utf8"]
    agent = subprocess.Popen(
        [*python, place + "/agent", "--orders", "--listen", listen],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert agent.stdin is not None
    assert agent.stdout is not None
    agent.stdin.write(orders)
    agent.stdin.close()
    line = agent.stdout.readline()
    try:
        answer = json.loads(line)
    except ValueError:
        said = line + agent.stdout.read(2000)
        fail("the guest did not begin: " + said.decode("utf-8", "replace"))
    if answer.get("event") != "ready":
        fail(answer.get("message"), "refused")


def copy_in(messages: Messages, sock: socket.socket) -> None:
    try:
        while True:
            kind, content = messages.next()
            if kind == DATA:
                sock.sendall(content)
    except OSError:
        os._exit(1)


def main() -> None:
    if sys.version_info < (3, 8):
        fail("Python 3.8 or later is needed, this is %s" % sys.version.split()[0])
    # What runs inside must not look into what is the client's.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    messages = Messages()
    if os.isatty(0):
        tty.setraw(0)
    say("")  # what a login shell has printed may have no end
    try:
        place = directory()
        listen = place + "/guest.sock"
        with open(place + "/lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another client may be at the same
            sock = connect(listen)
            if sock is None:
                say("sandboxkit need")
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(listen)  # of a guest that was killed
                start(place, listen, messages.next()[1])
                sock = connect(listen)
    except (OSError, tarfile.TarError) as error:
        fail(error)
    if sock is None:
        fail("the guest cannot be reached")
    say("sandboxkit ready")
    threading.Thread(target=copy_in, args=(messages, sock), daemon=True).start()
    while True:
        try:
            data = sock.recv(CHUNK)
        except OSError:
            data = b""  # the guest was killed
        if not data:
            os._exit(0)
        say(base64.b64encode(data).decode("ascii"))


if __name__ == "__main__":
    main()
