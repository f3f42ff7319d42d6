"""What is sent to a sandbox to make a guest of: the agent's own files, and the loader."""

from __future__ import annotations

import base64
import functools
import gzip
import io
import shlex
import tarfile
import zlib
from pathlib import Path

from .. import agent

__all__ = ["command", "packed", "terminal_command"]

_LOADER = Path(__file__).with_name("loader.py")


def command() -> str:
    """The command that finds or starts the guest; a shell's text."""
    return "exec python3 -I -S -B -W ignore -c " + shlex.quote(_program())


@functools.cache
def terminal_command() -> str:
    """The same as one line to be typed into a shell; short, as a terminal may take 4,095 bytes."""
    packed = base64.b64encode(zlib.compress(_program().encode(), 9)).decode("ascii")
    program = f'import base64,zlib;exec(zlib.decompress(base64.b64decode("{packed}")))'
    # A shell that gives way to another program writes its history down first.
    return f"unset HISTFILE; exec python3 -I -S -B -W ignore -c '{program}' || exit 127"


@functools.cache
def _program() -> str:
    # It travels with each connection, and nobody reads its comments there.
    text = _LOADER.read_text("utf-8")
    return text[text.index('"""\n') + 4 :].lstrip("\n")


@functools.cache
def packed() -> bytes:
    """The agent's files, as a gzipped tar file of the directory ``agent``."""
    assert agent.__file__ is not None
    top = Path(agent.__file__).parent
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for path in sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                content = path.read_bytes()
                entry = tarfile.TarInfo(f"agent/{path.relative_to(top).as_posix()}")
                entry.size, entry.mode = len(content), 0o644
                archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)
