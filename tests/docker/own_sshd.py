"""A server of ssh for one test alone, with keys that are thrown away."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

import pytest

from tests import engine
from tests.docker.own_engine import eventually

__all__ = ["OwnSshd"]

# One that root starts wants a directory where it shuts itself in; that is Debian's.
_SHUT_IN = Path("/run/sshd")


class OwnSshd:
    """It lets in who runs this, by one key, on a port of the loopback.

    Args:
        place: where all that is its own lies.

    Attributes:
        place: as given.
        address: as `DOCKER_HOST` has it; a path may follow.
    """

    def __init__(self, place: Path) -> None:
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            missing = "there is no sshd (try: .ci/docker-engine)"
            assert not engine.is_needed(), missing
            pytest.skip(missing)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.place = place
        self.address = f"ssh://{getpass.getuser()}@127.0.0.1:{port}"
        self._at = ("127.0.0.1", port)
        for name in ("host", "user"):
            key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)]
            subprocess.run(key, check=True)
        (place / "known").write_text(f"[127.0.0.1]:{port} {(place / 'host.pub').read_text()}")
        self._command = [
            program, "-D", "-e", "-f", "/dev/null", "-h", str(place / "host"),
            *_options(
                ListenAddress="127.0.0.1",
                Port=port,
                AuthorizedKeysFile=place / "user.pub",
                PidFile="none",
                StrictModes="no",
                UsePAM="no",
                PasswordAuthentication="no",
                KbdInteractiveAuthentication="no",
                SetEnv=f"PATH={os.environ['PATH']}",
            ),
        ]  # fmt: skip
        self._client = shutil.which("ssh")
        self._process: subprocess.Popen[bytes] | None = None
        self._made: list[Path] = []

    def client(self, **options: object) -> Path:
        """A directory for ``PATH`` with an `ssh` that uses nothing of this user's own.

        Args:
            **options: of ssh, before the usual ones of this server.
        """
        usual = {
            "IdentityFile": self.place / "user",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.place / "known",
            "GlobalKnownHostsFile": "/dev/null",
        }
        words = _options(**{**usual, **options})
        directory = self.place / f"bin-{len(list(self.place.iterdir()))}"
        directory.mkdir()
        program = directory / "ssh"
        program.write_text(f'#!/bin/sh\nexec {self._client} -F /dev/null {" ".join(words)} "$@"\n')
        program.chmod(0o755)
        return directory

    def __enter__(self) -> Self:
        if os.getuid() == 0 and not _SHUT_IN.exists():
            _SHUT_IN.mkdir(mode=0o755)
            self._made.append(_SHUT_IN)
        with open(self.place / "log", "ab") as log:
            self._process = subprocess.Popen(self._command, stderr=log, stdin=subprocess.DEVNULL)
        eventually(self._answers)
        return self

    def _answers(self) -> bool:
        try:
            socket.create_connection(self._at).close()
        except OSError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.terminate()
        process.wait(20)
        for made in self._made:
            made.rmdir()


def _options(**values: object) -> list[str]:
    return [word for name, value in values.items() for word in ("-o", f"{name}={value}")]
