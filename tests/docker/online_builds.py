"""A template built from package indexes, so only where they are reachable: ``make online``."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from sandboxkit import Sandbox, Template
from tests.docker.test_builds import BASE, names

AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
"""Whom this machine trusts, which may be a proxy's authority too."""


def test_packages_of_debian_and_of_python(session: str, capsys: pytest.CaptureFixture[str]) -> None:
    template = (
        Template.from_image(BASE)
        .copy(AUTHORITIES, str(AUTHORITIES))
        .env(PIP_CERT=str(AUTHORITIES))
        .apt("git", "python3-pip")
        .pip("tabulate==0.9.0")
        .run("git --version > /srv/version")
    )
    before = names()
    seconds = []
    try:
        for _ in range(2):
            began = time.monotonic()
            with Sandbox.create("docker", template=template, session=session) as sandbox:
                seconds.append(time.monotonic() - began)
                assert sandbox.run("git --version").stdout == sandbox.files.read_text(
                    "/srv/version"
                )
                code = "import tabulate; tabulate.tabulate([[1, 2]], tablefmt='plain')"
                assert sandbox.run_code(code).text == "'1  2'"
                listed = sandbox.run("find /var/lib/apt/lists -type f | wc -l").stdout
                assert listed == "0\n", "lists of packages only take space"
        assert len(names() - before) == 1
    finally:
        for name in names() - before:
            subprocess.run(["docker", "rmi", "--force", name], check=True, capture_output=True)
    with capsys.disabled():
        print(f"\nbuilt and created in {seconds[0]:.1f} s, created again in {seconds[1]:.2f} s")
