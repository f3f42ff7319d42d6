"""Large transfers: whole, in bounded memory, and gone on with after a kill."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandboxkit import Sandbox

MIB = 1 << 20
BIG = 2048 * MIB
FILES = 10_000

PROGRAM = """
import dataclasses, json, sys
from sandboxkit import Sandbox

way, address, here, there = sys.argv[1:]

def most_memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

def tell(progress):
    print(progress.bytes_done, flush=True)

with Sandbox.connect(address) as sandbox:
    sandbox.files.write("hot", b"up")
    before = most_memory()
    if way == "up":
        summary = sandbox.files.upload(here, there, progress=tell)
    else:
        summary = sandbox.files.download(there, here, progress=tell)
    told = {**dataclasses.asdict(summary), "memory": most_memory() - before}
print(json.dumps(told))
"""

HASH_BIG = """
import hashlib
with open("big", "rb") as file:
    print(hashlib.file_digest(file, "sha256").hexdigest())
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def move(*arguments: object) -> dict[str, Any]:
    """What a transfer in a process of its own tells at its end."""
    process = start(*arguments)
    out, _ = process.communicate(timeout=110)
    assert process.returncode == 0
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    return told


def kill_within(after: int, *arguments: object) -> int:
    """Kill a transfer's process when so many bytes have come; how many it had told of."""
    process = start(*arguments)
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            done = int(line)
            if done >= after:
                break
        os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return done


def guest_memory(sandbox: Sandbox) -> int:
    """The most that the first process in the sandbox has used."""
    status = sandbox.files.read_text("/proc/1/status")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if "VmHWM" in line)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A place whose files do not stay until the next runs."""
    yield tmp_path
    for name in ("big", "back", ".sandboxkit-part-back"):
        (tmp_path / name).unlink(missing_ok=True)


@pytest.mark.slow
def test_two_gibibytes_killed_in_the_middle_both_ways(folder: Path) -> None:
    block = random.Random(0).randbytes(MIB)
    digest = hashlib.sha256()
    with open(folder / "big", "wb") as file:
        for number in range(BIG // MIB):
            piece = number.to_bytes(8, "big") + block[8:]
            file.write(piece)
            digest.update(piece)
    whole = digest.hexdigest()
    with Sandbox.create("local", lifetime="10m", resources={"disk": "3GiB"}) as sandbox:
        sandbox.files.upload(__file__, "warm")
        sandbox.files.download("warm", folder / "warm")
        before = guest_memory(sandbox)
        for way, here in (("up", folder / "big"), ("down", folder / "back")):
            arguments = (way, sandbox.address, here, "big")
            done = kill_within(BIG // 2, *arguments)
            told = move(*arguments)
            # It goes on where it was: only what was on its way is sent again.
            assert told["bytes_sent"] < BIG - done + 16 * MIB, way
            assert told["memory"] < 16 * MIB, way
            if way == "up":
                assert sandbox.run(["python3", "-c", HASH_BIG]).stdout.strip() == whole
        assert guest_memory(sandbox) - before < 8 * MIB
        assert {one.name for one in sandbox.files.list(".")} == {"big", "hot", "warm"}
    with open(folder / "back", "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == whole


def digests(top: Path) -> str:
    """As ``sha256sum`` prints them, sorted."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  ./{path.relative_to(top)}\n"
        for path in top.rglob("*")
        if path.is_file()
    ]
    return "".join(sorted(lines))


@pytest.mark.slow
def test_ten_thousand_files_killed_in_the_middle_both_ways(tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    for number in range(FILES):
        path = source / f"d{number % 97}" / f"e{number % 3}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(number).randbytes(number % 3000))
    size = sum(number % 3000 for number in range(FILES))
    with Sandbox.create("local", lifetime="10m") as sandbox:
        sandbox.files.upload(source / "d0", "warm")
        sandbox.files.download("warm", tmp_path / "warm")
        before = guest_memory(sandbox)
        for way, here in (("up", source), ("down", back)):
            arguments = (way, sandbox.address, here, "tree")
            done = kill_within(size // 4, *arguments)
            told = move(*arguments)
            assert told["files"] == FILES
            # A batch may have been under way, of which less was stored than sent.
            assert told["bytes_sent"] < size - done + 4 * MIB, way
            assert told["memory"] < 16 * MIB, way
            again = move(*arguments)
            assert (again["files"], again["files_sent"]) == (FILES, 0)
        assert guest_memory(sandbox) - before < 4 * MIB
        find = "cd tree && find . -type f -print0 | xargs -0 sha256sum | LC_ALL=C sort"
        expected = digests(source)
        assert sandbox.run(find, max_output="8MiB").stdout == expected
    assert digests(back) == expected


def test_a_command_that_is_interrupted_says_how_to_go_on(tmp_path: Path) -> None:
    with open(tmp_path / "big", "wb") as file:
        file.writelines(os.urandom(MIB) for _ in range(400))
    with Sandbox.create("local", lifetime="10m", resources={"disk": "1GiB"}) as sandbox:
        command = [sys.executable, "-m", "sandboxkit.cli", "cp", "big", f"{sandbox.address}:big"]
        copying = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        part = ".sandboxkit-part-big"
        # The partial file itself says how far it is; there is no event for that.
        while not sandbox.files.exists(part) or sandbox.files.stat(part).size < 20 * MIB:
            assert copying.poll() is None
        copying.send_signal(signal.SIGINT)
        _, said = copying.communicate(timeout=10)
        assert (copying.returncode, said) == (
            130,
            "interrupted; the same command goes on from here\n",
        )
        done = subprocess.run(
            [*command, "--json"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout)["bytes_sent"] < 390 * MIB
        assert sandbox.files.stat("big").size == 400 * MIB
    (tmp_path / "big").unlink()
