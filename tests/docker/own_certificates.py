"""Certificates of an authority that exists for one test alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["OwnAuthority"]


class OwnAuthority:
    """Made by openssl, and worth nothing anywhere else.

    Args:
        place: where its files lie: ``ca.pem``, and a directory for each of those it signs for.
    """

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self._place = place
        self.certificate = place / "ca.pem"
        self._openssl(
            "req", "-x509", *_key(place / "ca.key"), "-out", str(self.certificate),
            "-subj", "/CN=throw-away authority", "-days", "2",
        )  # fmt: skip

    def sign(self, name: str, *extensions: str) -> Path:
        """A directory with ``cert.pem``, ``key.pem`` and our ``ca.pem``, as Docker wants it."""
        directory = self._place / name
        directory.mkdir()
        request, also = directory / "request", directory / "extensions"
        also.write_text("".join(f"{line}\n" for line in extensions))
        self._openssl(
            "req", *_key(directory / "key.pem"), "-out", str(request), "-subj", f"/CN={name}"
        )
        self._openssl(
            "x509", "-req", "-in", str(request), "-CA", str(self.certificate),
            "-CAkey", str(self._place / "ca.key"), "-CAcreateserial", "-days", "2",
            "-extfile", str(also), "-out", str(directory / "cert.pem"),
        )  # fmt: skip
        (directory / "ca.pem").write_bytes(self.certificate.read_bytes())
        return directory

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True)


def _key(path: Path) -> list[str]:
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    return [*curve, "-nodes", "-keyout", str(path)]
