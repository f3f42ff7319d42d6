"""What strangers may try: every door of the gateway, without the right to it."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2b import AuthenticationException, RateLimitException, SandboxNotFoundException
from e2b_code_interpreter import Sandbox

from sandboxkit.gateway.keys import hash_key, make_key
from tests.gateway.conftest import Served, asked, serving


def told(gateway: Served, head: str, body: bytes = b"") -> bytes:
    """What comes back for exactly these bytes."""
    with socket.create_connection(gateway.host(), timeout=30) as client:
        client.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        client.shutdown(socket.SHUT_WR)
        got = b""
        while chunk := client.recv(65536):
            got += chunk
    return got


def called(sandbox: Sandbox, **more: str) -> dict[str, str]:
    return {
        "E2b-Sandbox-Id": sandbox.sandbox_id,
        "E2b-Sandbox-Port": "49983",
        "X-Access-Token": sandbox._envd_access_token,
        "Content-Type": "application/json",
        **more,
    }


@pytest.fixture(scope="module")
def two_tenants(private_daemon: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    keys = [make_key(), make_key()]
    path: Path = tmp_path_factory.mktemp("keys") / "keys.toml"
    path.write_text(
        f'[tenants.one]\nkeys = ["{hash_key(keys[0])}"]\n'
        f'[tenants.two]\nkeys = ["{hash_key(keys[1])}"]\nmax_sandboxes = 1\n'
    )
    with serving("--profile", "local", "--keys", str(path)) as served:
        yield [{**served.params, "api_key": key} for key in keys]


def test_keys(gateway: Served) -> None:
    for key in ("", "wrong", gateway.key[:-1], gateway.key + "x"):
        assert asked(gateway, "GET", "/v2/sandboxes", None, {"X-API-KEY": key})[0] == 401
    assert asked(gateway, "GET", "/v2/sandboxes")[0] == 401
    with pytest.raises(AuthenticationException):
        Sandbox.create(**{**gateway.params, "api_key": "wrong"})


def test_tenants_do_not_see_each_other(two_tenants: Any) -> None:
    one, two = two_tenants
    with Sandbox.create(**one) as mine, Sandbox.create(**two) as theirs:
        listed = Sandbox.list(**one).next_items()
        assert [item.sandbox_id for item in listed] == [mine.sandbox_id]
        with pytest.raises(SandboxNotFoundException):
            Sandbox.connect(theirs.sandbox_id, **one)
        assert Sandbox.kill(theirs.sandbox_id, **one) is False
        taken = mine.create_snapshot(name="shared-name")
        try:
            assert Sandbox.delete_snapshot(taken.snapshot_id, **two) is False
        finally:
            assert Sandbox.delete_snapshot(taken.snapshot_id, **one) is True
        with pytest.raises(RateLimitException, match="maximum number"):
            Sandbox.create(**two)
        assert theirs.is_running()
    with Sandbox.create(**two):
        pass  # there is room again


def test_tokens(sandbox: Sandbox, gateway: Served) -> None:
    path, body = "/process.Process/List", "{}"
    assert asked(gateway, "POST", path, body, called(sandbox))[0] == 200
    for wrong in ("", "wrong", "ä"):
        headers = called(sandbox, **{"X-Access-Token": wrong.encode().decode("latin-1")})
        assert asked(gateway, "POST", path, body, headers)[0] == 401
    with Sandbox.create(**gateway.params) as other:
        crossed = called(sandbox, **{"X-Access-Token": other._envd_access_token})
        assert asked(gateway, "POST", path, body, crossed)[0] == 401
        assert asked(gateway, "POST", path, body, called(other))[0] == 200
    code = called(sandbox, **{"E2b-Sandbox-Port": "49999", "X-Access-Token": "wrong"})
    assert asked(gateway, "POST", "/execute", '{"code": "1"}', code)[0] == 401


def test_names_that_are_paths(gateway: Served) -> None:
    key = {"X-API-KEY": gateway.key}
    for name in ("..%2f..%2fetc", "%2e%2e", "a'b", "x%00y", "i" * 5000, "%f0%9f%92%a3"):
        assert asked(gateway, "GET", f"/sandboxes/{name}", None, key)[0] in (404, 501)
        assert asked(gateway, "DELETE", f"/templates/{name}", None, key)[0] in (404, 501)
    for name in ("../x", "", "a b", "x" * 500):
        headers = {"E2b-Sandbox-Id": name, "E2b-Sandbox-Port": "49983"}
        assert asked(gateway, "GET", "/health", None, headers)[0] == 400


def test_requests_that_name_two_sandboxes(sandbox: Sandbox, gateway: Served) -> None:
    name, token = sandbox.sandbox_id, sandbox._envd_access_token
    rest = f"X-Access-Token: {token}\nContent-Length: 0\nConnection: close"
    both = f"Host: 49983-iother.localhost\nE2b-Sandbox-Id: {name}\nE2b-Sandbox-Port: 49983"
    assert b" 400 " in told(gateway, f"GET /envs HTTP/1.1\n{both}\n{rest}").split(b"\r\n")[0]
    twice = f"Host: x\nE2b-Sandbox-Id: {name}\nE2b-Sandbox-Id: iother\nE2b-Sandbox-Port: 49983"
    assert b" 400 " in told(gateway, f"GET /envs HTTP/1.1\n{twice}\n{rest}").split(b"\r\n")[0]
    half = f"Host: x\nE2b-Sandbox-Id: {name}"
    assert b" 400 " in told(gateway, f"GET /envs HTTP/1.1\n{half}\n{rest}").split(b"\r\n")[0]
    for port in ("0", "65536", "-1", "49983x", "\uff19"):
        wrong = {"E2b-Sandbox-Id": name, "E2b-Sandbox-Port": port.encode().decode("latin-1")}
        assert asked(gateway, "GET", "/envs", None, wrong)[0] == 400
    # The key of the control plane gives no right to a sandbox by its host name.
    by_host = {"Host": f"49983-{name}.localhost", "X-API-KEY": gateway.key}
    assert asked(gateway, "GET", "/envs", None, by_host)[0] == 401


def frame(body: bytes, flags: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">BI", flags, len(body) if length is None else length) + body


def test_frames_that_are_wrong(sandbox: Sandbox, gateway: Served) -> None:
    start = json.dumps({"process": {"cmd": "/bin/true"}}).encode()
    wrong = {
        "cut off": frame(start, length=len(start) + 10),
        "no head": b"\x00\x00",
        "nothing": b"",
        "too large": frame(b"", length=0xFFFFFFFF),
        "packed": frame(start, flags=1),
        "flags": frame(start, flags=128),
        "no JSON": frame(b"{"),
        "deep": frame(b"[" * 100_000),
        "a list": frame(b"[]"),
        "two": frame(start) * 2,
        "types": frame(b'{"process": {"cmd": ["/bin/true"]}}'),
        "args": frame(b'{"process": {"cmd": "/bin/true", "args": "x"}}'),
        "envs": frame(b'{"process": {"cmd": "/bin/true", "envs": {"a": 1}}}'),
        "size": frame(b'{"process": {"cmd": "/bin/true"}, "pty": {"size": {"rows": 1e9}}}'),
    }
    headers = called(sandbox, **{"Content-Type": "application/connect+json"})
    for name, body in wrong.items():
        _, answer = asked(gateway, "POST", "/process.Process/Start", body, headers)
        assert b'"error"' in answer, (name, answer)
        assert b'"start"' not in answer, name
    assert sandbox.commands.run("echo well").stdout == "well\n"


def test_bodies_that_are_too_large(gateway: Served) -> None:
    key = {"X-API-KEY": gateway.key}
    assert asked(gateway, "POST", "/v2/sandboxes", b" " * (2 << 20), key)[0] == 413
    assert asked(gateway, "POST", "/v2/sandboxes", b"[" * 100_000, key)[0] == 400
    for body in ("[]", "1", '{"templateID": 5}', '{"templateID": "base", "timeout": "x"}'):
        assert asked(gateway, "POST", "/v2/sandboxes", body, key)[0] == 400


def test_slow_clients_keep_nobody_waiting(sandbox: Sandbox, gateway: Served) -> None:
    slow = [socket.create_connection(gateway.host()) for _ in range(100)]
    try:
        for one in slow:
            one.sendall(b"POST /v2/sandboxes HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n")
        reader = socket.create_connection(gateway.host())
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = frame(json.dumps({"process": {"cmd": "/bin/cat", "args": ["/dev/zero"]}}).encode())
        head = "".join(f"{name}: {value}\r\n" for name, value in called(sandbox).items())
        head = head.replace("application/json", "application/connect+json")
        head += f"Host: x\r\nContent-Length: {len(body)}\r\n"
        reader.sendall(f"POST /process.Process/Start HTTP/1.1\r\n{head}\r\n".encode() + body)
        time.sleep(2)  # it would write gigabytes in this time
        began = time.monotonic()
        assert sandbox.commands.run("echo well").stdout == "well\n"
        assert time.monotonic() - began < 10
        status = Path(f"/proc/{gateway.process.pid}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        assert int(resident.split()[1]) < 400_000
        reader.close()
    finally:
        for one in slow:
            one.close()
