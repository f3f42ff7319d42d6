"""What an engine exports is a template of the local provider."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sandboxkit import InvalidRequestError, Sandbox
from tests import engine

IMAGE = "sandboxkit-test:musl"


def docker(*arguments: str, into: Path | None = None) -> str:
    command = ["docker", *arguments, *(["--output", str(into)] if into else [])]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_an_exported_image(tmp_path: Path):
    assert engine.why_not() == ""
    exported, saved = tmp_path / "musl.tar", tmp_path / "saved.tar"
    container = docker("create", IMAGE, "x")
    try:
        docker("export", container, into=exported)
    finally:
        docker("rm", container)
    options = {"template": {"rootfs": str(exported)}}
    with Sandbox.create("local", provider_options=options) as sandbox:
        assert sandbox.info().shell == "sh -c"
        assert sandbox.run("hello-musl").stdout == "linked with musl\n"
        assert not sandbox.run("ls /lib64 /lib/x86_64-linux-gnu").ok
        assert sandbox.run_code("import ssl, sqlite3; 6 * 7").text == "42"
        sandbox.files.write("a/b", "c")
        assert sandbox.run("cat a/b").stdout == "c"
    docker("save", IMAGE, into=saved)
    with pytest.raises(InvalidRequestError, match="made of layers"):
        Sandbox.create("local", provider_options={"template": {"rootfs": str(saved)}})
