"""Files through E2B's SDK."""

from __future__ import annotations

import gzip
import hashlib
import io
import time
import urllib.error
import urllib.request

import pytest
from e2b import FileNotFoundException, FileType, InvalidArgumentException
from e2b_code_interpreter import Sandbox


def test_content_comes_back_bit_for_bit(sandbox: Sandbox) -> None:
    data = bytes(range(256)) * 40_000
    told = sandbox.files.write("deep/er/data.bin", data)
    assert (told.name, told.path) == ("data.bin", "/home/user/deep/er/data.bin")
    assert sandbox.files.read("deep/er/data.bin", format="bytes") == data
    assert b"".join(sandbox.files.read("deep/er/data.bin", format="stream")) == data
    digest = sandbox.commands.run("sha256sum < deep/er/data.bin").stdout.split()[0]
    assert digest == hashlib.sha256(data).hexdigest()


def test_uploads_of_every_kind(sandbox: Sandbox) -> None:
    sandbox.files.write("a", io.BytesIO(b"from a file"))
    sandbox.files.write("b", "packed " * 1000, gzip=True)
    sandbox.files.write("c", (bytes([number]) for number in range(5)))
    sandbox.files.write_files([{"path": "d/1", "data": "one"}, {"path": "/tmp/2", "data": b"two"}])
    assert sandbox.files.read("a") == "from a file"
    assert sandbox.files.read("b", gzip=True) == "packed " * 1000
    assert sandbox.files.read("c", format="bytes") == bytes(range(5))
    assert (sandbox.files.read("d/1"), sandbox.files.read("/tmp/2")) == ("one", "two")


def test_files_that_are_no_plain_ones(sandbox: Sandbox) -> None:
    sandbox.commands.run(
        "mkfifo pipe; ln -s nowhere lost; echo hi > there; ln -s there link; : > no"
    )
    assert (sandbox.files.read("link"), sandbox.files.read("no")) == ("hi\n", "")
    assert "MemTotal" in sandbox.files.read("/proc/meminfo")  # whose size is said to be zero
    for name in ("pipe", "/dev/zero", "/proc"):
        with pytest.raises(InvalidArgumentException):
            sandbox.files.read(name)
    with pytest.raises(FileNotFoundException):
        sandbox.files.read("lost")


def test_a_file_that_grows_is_read_as_it_was(sandbox: Sandbox) -> None:
    sandbox.files.write("log", b"x" * 100_000)
    writes = "while head -c 5000 /dev/zero; do sleep 0.001; done >> log"
    writing = sandbox.commands.run(writes, background=True)
    sizes = [len(sandbox.files.read("log", format="bytes")) for _ in range(8)]
    writing.kill()
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]


def test_looking_and_moving(sandbox: Sandbox) -> None:
    assert sandbox.files.make_dir("box/inner") is True
    assert sandbox.files.make_dir("box/inner") is False
    sandbox.files.write("box/inner/file", "abc")
    sandbox.commands.run(
        "ln -s inner/file box/link; ln -s nowhere box/broken; chmod 640 box/inner/file"
    )
    entries = {entry.name: entry for entry in sandbox.files.list("box")}
    assert entries["inner"].type is FileType.DIR
    assert entries["link"].symlink_target == "/home/user/box/inner/file"
    assert entries["link"].type is FileType.SYMLINK
    assert "broken" not in entries  # the SDK leaves out what has no type
    assert {entry.name for entry in sandbox.files.list("box", depth=2)} > {"file", "inner"}
    info = sandbox.files.get_info("box/inner/file")
    assert (info.size, info.mode, info.permissions, info.owner) == (3, 0o640, "-rw-r-----", "user")
    moved = sandbox.files.rename("box/inner/file", "else/where/file")
    assert moved.path == "/home/user/else/where/file"
    assert sandbox.files.exists("else/where/file")
    assert not sandbox.files.exists("box/inner/file")
    sandbox.files.remove("box")
    sandbox.files.remove("box")
    assert not sandbox.files.exists("box")


def test_errors(sandbox: Sandbox) -> None:
    with pytest.raises(FileNotFoundException):
        sandbox.files.read("missing")
    with pytest.raises(InvalidArgumentException, match="is a directory"):
        sandbox.files.read("/tmp")
    with pytest.raises(InvalidArgumentException):
        sandbox.files.write("/tmp", "x")
    with pytest.raises(FileNotFoundException):
        sandbox.files.list("missing")
    with pytest.raises(InvalidArgumentException):
        sandbox.files.list("/etc/hostname")
    with pytest.raises(FileNotFoundException):
        sandbox.files.rename("missing", "there")


def fetched(url: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_signed_urls(sandbox: Sandbox) -> None:
    sandbox.files.write("signed", "content")
    url = sandbox.download_url("signed")
    assert fetched(url) == (200, b"content")
    assert fetched(url, Range="bytes=3-4") == (206, b"te")
    assert fetched(sandbox.download_url("signed", use_signature_expiration=60))[0] == 200
    assert fetched(url.replace("path=signed", "path=other"))[0] == 401
    assert fetched(url, data=b"x")[0] == 401  # it is for reading
    up = sandbox.upload_url("up")
    assert fetched(up, b"bytes", **{"Content-Type": "application/octet-stream"})[0] == 200
    assert sandbox.files.read("up") == "bytes"
    soon = sandbox.download_url("signed", use_signature_expiration=1)
    past = int(time.time()) - 5
    assert (
        fetched(soon.split("signature_expiration=")[0] + f"signature_expiration={past}")[0] == 401
    )
    time.sleep(2.1)
    status, body = fetched(soon)
    assert (status, b"expired" in body) == (401, True)


def test_a_packed_upload_that_is_cut_off_or_wrong(sandbox: Sandbox) -> None:
    url = sandbox.upload_url("packed")
    kind = {"Content-Type": "application/octet-stream", "Content-Encoding": "gzip"}
    packed = gzip.compress(b"x" * 100_000)
    assert fetched(url, packed, **kind)[0] == 200
    assert fetched(url, packed[:-20], **kind)[0] == 400
    assert fetched(url, b"no gzip at all", **kind)[0] == 400
    assert len(sandbox.files.read("packed")) == 100_000  # as it was before
