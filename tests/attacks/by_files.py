"""Attacks through the file API: a process inside changes paths while the host works on them.

Each has a directory of its own, `/home/user/NAME`, which the attacker owns, and one of root's,
`/root/NAME`, with the file `secret`, to which the user who acts, or the operation's promise not to
follow links, gives no way.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sandboxkit.errors import SandboxError
from sandboxkit.provider import (
    ListFilesRequest,
    MkdirRequest,
    PathRequest,
    ReadFileRequest,
    RemoveRequest,
    RenameRequest,
    StartRequest,
    WriteFileRequest,
)
from sandboxkit.transfer import TransferOptions, download, upload
from sandboxkit_local.provider import LocalProvider
from tests.local.harness import run

__all__ = ["BY_FILES", "FileAttack", "attempt"]

SECRET = b"the secret"
OWNED = b"owned"
PARTIAL = ".sandboxkit-part-sent"  # what an upload calls the file `sent` until it is whole
TRIES = 60
LOOK = 15  # tries after which it is looked whether one has changed something
PATIENCE = 3.0  # seconds after which an agent that does not answer is taken for stuck

# Exchanges two names, over and over; makes them again when somebody has removed them.
SWAPPER = """
import ctypes, os, sys
kind, place, target = sys.argv[1:]
one, other = place + "/it", place + "/other"
def make():
    os.makedirs(place, exist_ok=True)
    if os.path.islink(one) or os.path.islink(other):
        return
    if kind == "file":
        os.path.exists(one) or open(one, "w").write("harmless")
        os.path.lexists(other) and os.unlink(other)
        os.symlink(target + "/secret", other)
    elif kind == "fifo":
        if not os.path.exists(other):
            open(one, "w").write("harmless")
            os.mkfifo(other)
    else:
        os.makedirs(one, exist_ok=True)
        open(one + "/secret", "w").write("harmless")
        if os.path.lexists(other):  # perhaps another user's by now
            os.rename(other, place + "/old" + os.urandom(8).hex())
        os.symlink(target, other)
exchange, here, one_, other_ = ctypes.CDLL(None).renameat2, -100, one.encode(), other.encode()
first = True
while True:
    try:
        make()
    except OSError:
        pass
    if first:
        print("swapping", flush=True)
        first = False
    for _ in range(200 if kind != "tree" else 20):
        if exchange(here, one_, here, other_, 2):
            break
"""


@dataclass(frozen=True)
class Place:
    """Where one attack takes place.

    Attributes:
        mine: the attacker's directory.
        roots: root's.
        acting: the user that the API acts as; ``None`` is the sandbox's.
    """

    provider: LocalProvider
    sandbox: str
    mine: str
    roots: str
    acting: str | None

    def common(self, path: str) -> dict[str, str | None]:
        return {"sandbox_id": self.sandbox, "path": f"{self.mine}/{path}", "user": self.acting}

    async def read(self, path: str) -> bytes:
        request = ReadFileRequest(**self.common(path))  # type: ignore[arg-type]
        return b"".join([chunk async for chunk in self.provider.read_file(request)])

    async def write(self, path: str) -> None:
        async def content() -> AsyncIterator[bytes]:
            yield OWNED

        await self.provider.write_file(
            WriteFileRequest(**self.common(path), data=content())  # type: ignore[arg-type]
        )

    async def kept(self) -> bool:
        """Whether what is root's is as it was; root's own look."""
        look = f"cd {self.roots} && cat secret && ls -A"
        ran = await run(self.provider, self.sandbox, look, user="root")
        return ran.stdout == f"{SECRET.decode()}secret\n"


Operation = Callable[[Place], Awaitable[bool]]
"""One try; whether it has succeeded."""


@dataclass(frozen=True)
class FileAttack:
    """One attempt.

    Attributes:
        name: of it and its places.
        source: whence it is known.
        swapped: what is exchanged with a link: a ``file``, a ``directory``, or one that is made
            again and again (``tree``); or a file with a ``fifo``. Nothing for a ``hard link``,
            which is there from the beginning: as on a system that lets everybody make any.
        operation: what the host does meanwhile.
        held_by: the defences, each enough.
        acting: the user that the API acts as.
        kinds: the ways to get ids with which it means something.
        changes: whether success is to have changed what is root's.
        tries: how often the host does it.
    """

    name: str
    source: str
    swapped: str
    operation: Operation
    held_by: tuple[str, ...]
    acting: str | None = None
    kinds: tuple[str, ...] = ("root", "subordinate")
    changes: bool = False
    tries: int = TRIES


async def attempt(
    provider: LocalProvider, sandbox: str, attack: FileAttack, patience: int = 1
) -> bool:
    """Let a process swap while the host tries; whether one try succeeded.

    Args:
        provider: the host's.
        sandbox: where.
        attack: what to try.
        patience: how many times as often as the attack says; a race is won later on a busy machine.
    """
    mine, roots = f"/home/user/{attack.name}", f"/root/{attack.name}"
    place = Place(provider, sandbox, mine, roots, attack.acting)
    if "single" not in attack.kinds:
        prepare = f"mkdir -p -m 700 {roots} && printf %s '{SECRET.decode()}' > {roots}/secret"
        assert (await run(provider, sandbox, prepare, user="root")).code == 0
    argv: tuple[str, ...] = ("python", "-I", "-c", SWAPPER, attack.swapped, mine, roots)
    if attack.swapped == "hard link":
        open_up = f"mkdir -m 777 {mine}"  # root has no more rights there than its id gives it
        assert (await run(provider, sandbox, open_up, user="user")).code == 0
        link = f"for name in it {PARTIAL}; do ln {roots}/secret {mine}/$name; done"
        assert (await run(provider, sandbox, link, user="root")).code == 0
        argv = ("sh", "-c", "echo linked; exec sleep 60")
    swapper = await provider.start(StartRequest(sandbox_id=sandbox, command=argv, user="user"))
    events = swapper.events()
    try:
        await anext(events)
        return await _try(place, attack, attack.tries * patience)
    finally:
        with contextlib.suppress(SandboxError, TimeoutError):
            async with asyncio.timeout(1.0):  # a stuck agent does not answer
                await swapper.terminate(0)


async def _try(place: Place, attack: FileAttack, tries: int) -> bool:
    for number in range(1, tries + 1):
        with contextlib.suppress(SandboxError, OSError):
            if await attack.operation(place):
                return True
        if attack.changes and number % LOOK == 0 and not await place.kept():
            return True
    return False


async def _read_link(place: Place) -> bool:
    return await place.read("it") == SECRET


async def _read_below(place: Place) -> bool:
    return await place.read("it/secret") == SECRET


async def _read_by_dots(place: Place) -> bool:
    return await place.read(f"it/../../../../..{place.roots}/secret") == SECRET


async def _write_link(place: Place) -> bool:
    await place.write("it")
    return False


async def _write_below(place: Place) -> bool:
    await place.write("it/secret")
    return False


async def _list(place: Place) -> bool:
    request = ListFilesRequest(**place.common("it/."))  # type: ignore[arg-type]
    return any(found.owner == "root" for found in await place.provider.list_files(request))


async def _stat(place: Place) -> bool:
    request = PathRequest(**place.common("it/secret"))  # type: ignore[arg-type]
    return (await place.provider.stat(request)).owner == "root"


async def _make(place: Place) -> bool:
    await place.provider.mkdir(MkdirRequest(**place.common("it/made")))  # type: ignore[arg-type]
    return False


async def _rename(place: Place) -> bool:
    request = RenameRequest(**place.common("it"), target=f"{place.mine}/it/moved")  # type: ignore[arg-type]
    with contextlib.suppress(SandboxError, OSError):
        await place.provider.rename(request)
    # A file beside the two, into whatever `it` is now.
    await place.write("beside")
    beside = RenameRequest(**place.common("beside"), target=f"{place.mine}/it/moved")  # type: ignore[arg-type]
    await place.provider.rename(beside)
    return False


async def _remove(place: Place) -> bool:
    request = RemoveRequest(**place.common("it/secret"))  # type: ignore[arg-type]
    await place.provider.remove(request)
    return False


async def _remove_tree(place: Place) -> bool:
    common = {**place.common(""), "path": place.mine}
    await place.provider.remove(RemoveRequest(**common, recursive=True))  # type: ignore[arg-type]
    return False


async def _download(place: Place) -> bool:
    with tempfile.TemporaryDirectory() as target:
        options = TransferOptions(user=place.acting)
        with contextlib.suppress(OSError):  # what came before is there
            await download(place.provider, place.sandbox, place.mine, target, options)
        found = Path(target, "it", "secret")
        return found.is_file() and not found.is_symlink() and found.read_bytes() == SECRET


async def _upload(place: Place) -> bool:
    with tempfile.TemporaryDirectory() as source:
        Path(source, "it").mkdir()
        Path(source, "it", "secret").write_bytes(OWNED)
        options = TransferOptions(user=place.acting, verify="checksum")
        await upload(place.provider, place.sandbox, source, place.mine, options)
    return False


async def _upload_beside(place: Place) -> bool:
    with tempfile.TemporaryDirectory() as source:
        Path(source, "sent").write_bytes(OWNED)
        options = TransferOptions(user=place.acting)
        await upload(place.provider, place.sandbox, source, place.mine, options)
    return False


async def _read_fifo(place: Place) -> bool:
    """Whether the agent waits for whoever would write."""
    try:
        async with asyncio.timeout(PATIENCE):
            await place.read("it")
    except TimeoutError:
        return True
    return False


_SWAPPED = "CVE-2018-15664 (docker cp), CVE-2019-14271, CVE-2021-30465"
_LINKED = "CVE-2011-4029's kin; protected_hardlinks in proc(5)"
_USERS = ("agent users",)
_BENEATH = ("beneath",)

BY_FILES = [
    FileAttack("read_through_link", _SWAPPED, "file", _read_link, _USERS),
    FileAttack("read_below_link", _SWAPPED, "directory", _read_below, _USERS),
    FileAttack("read_by_dots", "CWE-22", "directory", _read_by_dots, _USERS),
    FileAttack("write_through_link", _SWAPPED, "file", _write_link, _USERS, changes=True),
    FileAttack("write_below_link", _SWAPPED, "directory", _write_below, _USERS, changes=True),
    FileAttack("list_through_link", _SWAPPED, "directory", _list, _USERS),
    FileAttack("stat_below_link", _SWAPPED, "directory", _stat, _USERS),
    FileAttack("make_below_link", _SWAPPED, "directory", _make, _USERS, changes=True),
    FileAttack("rename_below_link", _SWAPPED, "directory", _rename, _USERS, changes=True),
    FileAttack("remove_below_link", _SWAPPED, "directory", _remove, _USERS, changes=True),
    FileAttack(
        "remove_tree_with_link",
        "CVE-2022-21658 (Rust), CVE-2024-21626's kin",
        "tree",
        _remove_tree,
        ("removal by descriptor",),
        acting="root",
        changes=True,
        tries=150,
    ),
    FileAttack(
        "download_with_link", _SWAPPED, "directory", _download, ("agent users", "beneath"), tries=30
    ),
    FileAttack(
        "download_with_link_as_root",
        _SWAPPED,
        "directory",
        _download,
        _BENEATH,
        acting="root",
        tries=30,
    ),
    FileAttack(
        "upload_with_link",
        _SWAPPED,
        "directory",
        _upload,
        ("agent users", "beneath"),
        changes=True,
        tries=30,
    ),
    FileAttack(
        "upload_with_link_as_root",
        _SWAPPED,
        "directory",
        _upload,
        _BENEATH,
        acting="root",
        changes=True,
    ),
    FileAttack(
        "write_over_hard_link",
        _LINKED,
        "hard link",
        _write_link,
        ("renamed into place",),
        acting="root",
        changes=True,
        tries=LOOK,
    ),
    FileAttack(
        "upload_over_hard_link",
        _LINKED,
        "hard link",
        _upload_beside,
        ("partial files of ones own",),
        acting="root",
        changes=True,
        tries=LOOK,
    ),
    FileAttack(
        "fifo_in_place_of_file",
        "fifo(7): opening one waits",
        "fifo",
        _read_fifo,
        ("non-blocking",),
        kinds=("root", "subordinate", "single"),
    ),
]
