"""A root directory of a few programs and the libraries that they need, and archives of it."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

__all__ = ["add", "archive", "make"]

PROGRAMS = ("sh", "cat", "id", "ls", "stat", "touch")


def make(root: Path) -> Path:
    """Make one, without Python; files are whoever's who makes it."""
    for name in ("bin", "etc", "root", "srv"):
        (root / name).mkdir(parents=True)
    for name in PROGRAMS:
        program = shutil.which(name)
        assert program is not None
        shutil.copy(program, root / "bin" / name)
        said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+)", said):
            target = root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nclerk:x:7:8::/srv:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/motd").write_text("welcome\n")
    (root / "etc/shadow").write_text("hidden\n")
    (root / "etc/shadow").chmod(0o600)
    return root


def archive(root: Path, path: Path, mode: str = "w") -> Path:
    """An archive of it in which all is root's, as in what an engine exports."""

    def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        return member

    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name in sorted(entry.name for entry in root.iterdir()):
            file.add(root / name, name, filter=owned)
    return path


def add(path: Path, *members: tuple[str, dict[str, object]]) -> None:
    """Add members that nothing on a disk would be; `content` is a file's."""
    with tarfile.open(path, "a") as file:
        for name, fields in members:
            member = tarfile.TarInfo(name)
            content = bytes(str(fields.pop("content", "")), "ascii")
            member.size = len(content)
            for field, value in fields.items():
                setattr(member, field, value)
            file.addfile(member, io.BytesIO(content))
