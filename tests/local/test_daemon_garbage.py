"""The daemon outlives whatever is sent to its socket, and so do its sandboxes."""

from __future__ import annotations

import copy
import json
import os
import random
import select
import socket
from pathlib import Path
from typing import Any

from sandboxkit_local import paths, start, wire
from tests.local.harness import Harness, eventually

VALUES: list[Any] = [
    None, True, -1, 0, 1 << 70, 1e300, float("nan"), "", "x" * 5000, "../../etc", "\0", "\ud800",
    [], {}, [[]], {"a": {}}, [1, 2], {"": None},
]  # fmt: skip
REQUESTS: list[dict[str, Any]] = [
    {"do": "connect", "sandbox": "a"},
    {"do": "find", "sandbox": "a"},
    {"do": "fork", "nonce": "n", "sandbox": "a", "count": 2, "labels": {}, "lifetime": None},
    {"do": "kill", "sandbox": "a"},
    {"do": "list", "labels": {}, "metadata": {}, "state": None, "after": None},
    {"do": "metrics", "sandbox": "a"},
    {"do": "oom", "sandbox": "a"},
    {"do": "pause", "sandbox": "a", "lifetime": 1.0},
    {"do": "resume", "sandbox": "a"},
    {"do": "set_lifetime", "sandbox": "a", "lifetime": 1.0},
    {"do": "snapshot", "nonce": "n", "sandbox": "a", "name": None, "lifetime": None, "labels": {}},
    {"do": "list_snapshots", "labels": {}, "after": None},
    {"do": "delete_snapshot", "snapshot": "a"},
    {"do": "accept", "sandbox": "a"},
    {"do": "abandon", "nonce": "n"},
    {"do": "ping"},
]


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def spoil(chance: random.Random, message: dict[str, Any]) -> None:
    """Put something else in the place of one value, somewhere inside."""
    inside: Any = message
    while True:
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(inside[key], dict | list) and inside[key] and chance.random() < 0.7:
            inside = inside[key]
        elif chance.random() < 0.2 and isinstance(inside, dict):
            del inside[key]
            return
        else:
            inside[key] = chance.choice(VALUES)
            return


def test_spoilt_requests_are_answered_or_end_the_connection(local: Harness):
    kept = local.create().id
    eventually(lambda: local.ask("ping")["prepared"])  # it has descriptors too
    daemon, before = local.daemon_pid(), descriptors(local.daemon_pid())
    chance = random.Random(20)
    requests = [*REQUESTS, *[local.order() for _ in range(8)]]
    template = requests[-1]["template"]  # another one is another zygote, which stays
    ours: socket.socket | None = None
    for number in range(1500):
        if ours is None:
            ours = start.connect(paths.locate())
            ours.settimeout(30)
        message = copy.deepcopy(chance.choice(requests)) | {"id": number}
        if "sandbox" in message and chance.random() < 0.3:
            message["sandbox"] = kept if message["do"] not in ("kill", "pause") else "b"
        spoil(chance, message)
        if _would_harm(message, kept) or message.get("template", template) != template:
            continue
        ours.send(json.dumps(message).encode())
        if message.get("do") in ("accept", "abandon"):
            continue
        answer = wire.receive(ours)
        if answer is not None:
            wire.close_all(answer[1])
        if answer is None or "id" not in answer[0]:
            ours.close()
            ours = None
    if ours is not None:
        ours.close()
    assert local.daemon_pid() == daemon
    eventually(lambda: local.ask("ping")["sandboxes"] == 1)
    assert local.sh(kept, "echo well") == "well\n"
    eventually(lambda: descriptors(daemon) <= before)


def _would_harm(message: dict[str, Any], kept: str) -> bool:
    """What a client has every right to ask for, and would end the sandbox we look at."""
    return message.get("sandbox") == kept and message.get("do") in ("kill", "pause", "set_lifetime")


def test_noise_from_many_at_once(local: Harness):
    kept, chance = local.create().id, random.Random(21)
    eventually(lambda: local.ask("ping")["prepared"])
    daemon, before = local.daemon_pid(), descriptors(local.daemon_pid())
    for _ in range(300):
        with start.connect(paths.locate()) as sock:
            reading, writing = os.pipe()
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, writing.to_bytes(4, "little") * 200)]
            noise = chance.randbytes(chance.randrange(1, 3000))
            if chance.random() < 0.5:
                noise = json.dumps(chance.choice(VALUES)).encode()
            sock.sendmsg([noise], rights if chance.random() < 0.3 else [])
            os.close(reading)
            os.close(writing)
    assert local.daemon_pid() == daemon
    assert local.sh(kept, "echo well") == "well\n"
    eventually(lambda: descriptors(daemon) <= before)


def test_a_client_that_never_reads_is_let_go(local: Harness):
    daemon = local.daemon_pid()
    with start.connect(paths.locate()) as deaf:
        deaf.setblocking(False)
        sent = 0
        for number in range(50_000):
            try:
                deaf.send(json.dumps({"do": "ping", "id": number}).encode())
                sent += 1
            except BlockingIOError:
                # It is busy, or has let us go; either is told by the socket.
                if not select.select([], [deaf], [], 5)[1]:
                    break
            except (BrokenPipeError, ConnectionResetError):
                break
        assert sent > 100
        assert local.daemon_pid() == daemon
        memory = Path(f"/proc/{daemon}/status").read_text().partition("VmRSS:")[2].split()[0]
        assert int(memory) < 200_000, "KiB"
