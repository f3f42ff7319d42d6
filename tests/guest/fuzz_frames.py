"""Fuzzes the decoder, and the agent's side of a connection. A target, not a test:

``python tests/guest/fuzz_frames.py [ROUNDS [SEED]]``, from the project's directory. With atheris
installed it is guided by coverage, else it mutates good frames from a seed.
"""

from __future__ import annotations

import contextlib
import importlib
import random
import struct
import sys

sys.path.insert(0, ".")

from sandboxkit.guest.agent import frames

SAMPLES = [
    frames.encode_json(frames.HELLO, 0, {"major": 1, "minor": 0, "token": ""}),
    frames.encode_json(frames.OPEN, 1, {"op": "start", "argv": ["true"], "timeout": 1}),
    frames.encode_json(frames.OPEN, 2, {"op": "read", "path": "/etc/passwd", "offset": 3}),
    frames.encode(frames.DATA, 1, b"x" * 300, fin=True),
    frames.encode_credit(1, 1, 2**31),
    frames.encode_json(frames.CONTROL, 1, {"do": "signal", "signum": 15}),
    frames.encode(frames.RESET, 1),
    frames.encode(frames.BYE, 0),
]


def check(data: bytes) -> None:
    """Decode `data` whole and in pieces; both must agree and hold little."""
    outcomes = []
    for step in (len(data) or 1, 7):
        decoder, found, refused = frames.Decoder(), [], False
        try:
            for start in range(0, len(data), step):
                for frame in decoder.feed(data[start : start + step]):
                    found.append(frame)
                    look_into(frame)
        except frames.FrameError:
            refused = True
        assert decoder.pending <= frames.HEADER_SIZE + frames.MAX_JSON + step
        outcomes.append((found, refused))
    assert outcomes[0] == outcomes[1]


def look_into(frame: frames.Frame) -> None:
    if frame.type == frames.CREDIT:
        assert 0 <= frame.credit() < 2**32
    elif frame.type != frames.DATA and frame.payload:
        with contextlib.suppress(frames.FrameError):
            assert isinstance(frame.json(), dict)


def mutated(rng: random.Random) -> bytes:
    """Some frames, most of them damaged."""
    data = bytearray(b"".join(rng.choices(SAMPLES, k=rng.randint(1, 6))))
    for _ in range(rng.choice((0, 1, 1, 2, 5, 20))):
        if not data:
            break
        place = rng.randrange(len(data))
        kind = rng.randrange(5)
        if kind == 0:
            data[place] = rng.randrange(256)
        elif kind == 1:
            del data[place : place + rng.randint(1, 20)]
        elif kind == 2:
            data[place:place] = rng.randbytes(rng.randint(1, 20))
        elif kind == 3:
            data[place : place + 4] = struct.pack(
                ">I", rng.choice((0, 1, 65_537, 2**31, 2**32 - 1))
            )
        else:
            data[place:place] = data[: rng.randint(0, len(data))]
    return bytes(data)


def main(rounds: int, seed: int) -> None:
    """Fuzz until `rounds` are over, or with atheris until stopped."""
    try:
        atheris = importlib.import_module("atheris")
    except ModuleNotFoundError:
        rng = random.Random(seed)
        for _ in range(rounds):
            check(mutated(rng))
        print(f"{rounds} rounds from seed {seed}: nothing found")
        return
    atheris.instrument_all()
    atheris.Setup(sys.argv[:1], check)
    atheris.Fuzz()


if __name__ == "__main__":
    arguments = [int(text) for text in sys.argv[1:3]]
    main(*(arguments + [100_000, 1][len(arguments) :]))
