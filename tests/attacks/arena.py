"""Where attacks take place: a host with something to find, sandboxes, and weakened ones."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import secrets
import select
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from sandboxkit.errors import ExecLostError
from sandboxkit.provider import ProviderSettings
from sandboxkit_local import paths
from sandboxkit_local.jail.numbers import NUMBERS
from sandboxkit_local.provider import LocalProvider
from tests.local.harness import Harness, Ran, stop_daemon

from .weakened import WITHOUT

__all__ = ["Arena", "Outcome", "arena"]

INSIDE = Path(__file__).parent / "inside"
PROGRAM = """\
import sys, types
prelude = sys.modules["prelude"] = types.ModuleType("prelude")
given = sys.modules["given"] = types.ModuleType("given")
given.PLANTED, given.NUMBERS = {planted!r}, {numbers!r}
exec(compile({prelude!r}, "prelude", "exec"), vars(prelude))
attacks = {{}}
exec(compile({attacks!r}, {group!r}, "exec"), attacks)
prelude.main(attacks, {names!r})
"""

Outcome = tuple[bool, str]
"""Whether the attack succeeded, and what it said."""


class Arena:
    """Runs attacks; those that go together in one sandbox, and each combination once.

    Args:
        strong: the provider as it is.
        weak: one whose sandboxes may lack defences.
        planted: what there is to find.
    """

    def __init__(self, strong: Harness, weak: Harness, planted: dict[str, Any]) -> None:
        self.strong = strong
        self.weak = weak
        self.planted = planted

    def attack(
        self,
        group: str,
        names: list[str],
        *,
        user: str,
        without: frozenset[str] | None,
        options: dict[str, Any],
    ) -> dict[str, Outcome]:
        """Try attacks one after the other in a new sandbox.

        Args:
            group: the module that they are in.
            names: which.
            user: who tries.
            without: the defences that the sandbox lacks; ``None`` for a sandbox as it is.
            options: of the sandbox.
        """
        side = self.strong if without is None else self.weak
        env = {} if without is None else {WITHOUT: ",".join(sorted(without))}
        sandbox = side.create(env=env, **options).id
        try:
            column = ("x86_64", "aarch64").index(platform.machine())
            numbers = {name: pair[column] for name, pair in NUMBERS.items()}
            program = PROGRAM.format(
                prelude=(INSIDE / "prelude.py").read_text(),
                attacks=(INSIDE / f"{group}.py").read_text(),
                group=group,
                names=names,
                numbers=numbers,
                planted=self.planted,
            )
            # As a file, since the command line must not hold what is looked for in command lines.
            side.write(sandbox, "/tmp/attacks.py", program.encode(), user=user)
            ran = side.run(sandbox, ("python", "-I", "/tmp/attacks.py"), user=user)
        except ExecLostError as error:
            ran = Ran(None, stderr=f"the sandbox is lost: {error}")
        finally:
            side.kill(sandbox)
        found: dict[str, Outcome] = {
            name: (succeeded, said)
            for line in ran.stdout.splitlines()
            for name, (succeeded, said) in json.loads(line).items()
        }
        missing = set(names) - set(found)
        # A process that a limit has ended says nothing.
        return found | dict.fromkeys(missing, (False, f"{ran.code} {ran.stderr[-400:]}"))


@contextmanager
def arena(directory: Path) -> Iterator[Arena]:
    """An arena on this machine; everything of it is gone afterwards.

    Args:
        directory: an empty one of our own.
    """
    with ExitStack() as stack:
        planted = stack.enter_context(_planted(directory))
        runner = stack.enter_context(asyncio.Runner())
        strong = stack.enter_context(_provider(runner, directory / "strong", planted, weak=False))
        weak = stack.enter_context(_provider(runner, directory / "weak", planted, weak=True))
        planted["daemon_socket"] = str(weak.paths.socket)
        stack.enter_context(_neighbours(strong, weak, planted))
        yield Arena(strong, weak, planted)


@contextmanager
def _provider(
    runner: asyncio.Runner, state: Path, planted: dict[str, Any], *, weak: bool
) -> Iterator[Harness]:
    state.mkdir(mode=0o700)
    before = os.environ.get(paths.STATE_VARIABLE)
    os.environ[paths.STATE_VARIABLE] = str(state)
    os.environ["SANDBOXKIT_PLANTED"] = planted["variable"]
    try:
        where = paths.locate()
        if weak:
            _start_weak_daemon(where, f"SANDBOXKIT_PLANTED={planted['variable']}")

        async def make() -> LocalProvider:
            return LocalProvider(ProviderSettings())

        harness = Harness(where, runner, runner.run(make()))
        harness.ask("ping")
    finally:
        del os.environ["SANDBOXKIT_PLANTED"]
        if before is None:
            del os.environ[paths.STATE_VARIABLE]
        else:
            os.environ[paths.STATE_VARIABLE] = before
    try:
        yield harness
    finally:
        for sandbox in harness.made:
            harness.kill(sandbox)
        harness.do(harness.provider.aclose())
        stop_daemon(where)


def _start_weak_daemon(where: paths.Paths, planted: str) -> None:
    reading, writing = os.pipe()
    title = f"sandboxkit-daemon-{where.digest}"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.attacks.weak_daemon",
            str(where.state),
            str(writing),
            planted,
            title,
        ],
        cwd=Path(__file__).parents[2],
        pass_fds=[writing],
        start_new_session=True,
    )
    os.close(writing)
    with open(reading, "rb") as stream:
        said = stream.read()
    process.wait()  # the daemon is its child, and is stopped by its socket
    assert said == b"{}", said


@contextmanager
def _planted(directory: Path) -> Iterator[dict[str, Any]]:
    """What a host has that nobody in a sandbox may find."""
    token = secrets.token_hex(8)
    directory.chmod(0o755)
    home = directory / "home"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    (home / "marker").touch()
    secret = directory / "secret"
    secret.write_text(f"secret-{token}")
    secret.chmod(0o600)
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))),
            stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6)),
            stack.enter_context(socket.socket(socket.AF_UNIX)),
            stack.enter_context(socket.socket(socket.AF_UNIX)),
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
        ]
        listeners[2].bind(f"\0sandboxkit-{token}")
        listeners[3].bind(str(home / "socket"))
        (home / "socket").chmod(0o777)
        for listener in listeners[2:4]:
            listener.listen(64)
        listeners[4].bind(("127.0.0.1", 0))
        stop, stopped = os.pipe()
        answering = threading.Thread(target=_answer, args=(listeners, stop))
        answering.start()
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()", f"host-{token}"],
            stdin=subprocess.PIPE,
        )
        try:
            yield {
                "abstract": f"sandboxkit-{token}",
                "device": _device(),
                "disks": _disks(),
                "host_name": os.uname().nodename,
                "key": int(token[:7], 16) + 1,
                "neighbour": f"neighbour-{token}",
                "open_directory": str(home),
                "port": listeners[0].getsockname()[1],
                "port_datagram": listeners[4].getsockname()[1],
                "port_six": listeners[1].getsockname()[1],
                "process": f"host-{token}",
                "secret": f"secret-{token}",
                "secret_file": str(secret),
                "variable": f"variable-{token}",
            }
        finally:
            process.communicate()
            os.close(stopped)
            answering.join()
            os.close(stop)


def _device() -> str:
    """A device that only the host's root may open."""
    return next(
        entry.name
        for entry in sorted(Path("/dev").iterdir())
        if stat.S_ISBLK(entry.stat().st_mode) and os.access(entry, os.R_OK) is (os.getuid() == 0)
    )


def _disks() -> list[str]:
    """Block devices that hold something."""
    sizes = {entry.name: (entry / "size").read_text() for entry in Path("/sys/block").iterdir()}
    return [name for name, size in sizes.items() if int(size) and os.path.exists(f"/dev/{name}")]


def _answer(listeners: list[socket.socket], stop: int) -> None:
    while True:
        for found in select.select([*listeners, stop], [], [])[0]:
            if found == stop:
                return
            if found.type == socket.SOCK_DGRAM:
                _, sender = found.recvfrom(10)
                found.sendto(b"host", sender)
            else:
                connection, _ = found.accept()
                with connection, suppress(ConnectionError):  # some only look whether they come in
                    connection.sendall(b"host")


NEIGHBOUR = """
import ctypes, os, signal, socket, sys
name, key, mark = sys.argv[1], int(sys.argv[2]), sys.argv[3]
libc = ctypes.CDLL(None, use_errno=True)
create, everybody = 0o1000, 0o666
assert libc.shmget(key, 4096, create | everybody) >= 0
assert libc.semget(key, 1, create | everybody) >= 0
assert libc.msgget(key, create | everybody) >= 0
os.umask(0)
queue = ctypes.CDLL("librt.so.1", use_errno=True).mq_open
assert queue(b"/" + name.encode(), os.O_CREAT | os.O_RDWR, 0o666, None) >= 0
listener = socket.socket(socket.AF_UNIX)
listener.bind(b"\\0neighbour-" + name.encode())
listener.listen(64)
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(b"host")
    connection.close()
"""


@contextmanager
def _neighbours(strong: Harness, weak: Harness, planted: dict[str, Any]) -> Iterator[None]:
    """A sandbox beside those of the attackers; the weak one without its own network and objects."""
    for side, env in ((strong, {}), (weak, {WITHOUT: "ipc,network"})):
        sandbox = side.create(env=env).id
        arguments = (planted["abstract"], str(planted["key"]), planted["neighbour"])
        words = " ".join(f"'{word}'" for word in arguments)
        side.write(sandbox, "/tmp/neighbour.py", NEIGHBOUR.encode())
        script = (
            f"python -I /tmp/neighbour.py {words} > /tmp/said 2>&1 < /dev/null & "
            "for i in $(seq 100); do grep -q . /tmp/said && break; sleep 0.05; done; cat /tmp/said"
        )
        said = side.sh(sandbox, script)
        assert said == "ready\n", said
    yield
