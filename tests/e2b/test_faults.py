"""What goes wrong between the SDK and its server, and what the plugin's users hear of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2b import Sandbox as Theirs

from sandboxkit import ExecLostError, RateLimitError, Sandbox, SandboxError, TransportError
from tests.e2b.faulty import Fault, Proxy, between
from tests.gateway.conftest import Served

CREATE = r"POST /v2/sandboxes "
START = r"POST /process\.Process/Start "
INPUT = r"POST /process\.Process/SendInput "


def refusal(status: str, body: str, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{more}\r\n"
    return (head + body).encode()


LIMITED = refusal("429 Too Many Requests", '{"code": 429, "message": "slow"}', "Retry-After: 1\r\n")
BUSY = refusal("503 Service Unavailable", '{"code": 503, "message": "busy"}')
STRANGE = [
    refusal("429 Too Many Requests", "{}"),
    refusal("502 Bad Gateway", "<html>a proxy says so</html>"),
    refusal("201 Created", "<html>not what was asked</html>"),
]


@pytest.fixture
def proxy(vendor: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A way to the server, and a profile ``faulty`` that takes it."""
    with between(*vendor.host()) as way:
        (tmp_path / "sandboxkit.toml").write_text(
            '[profiles.faulty]\nprovider = "e2b"\nguest_user = ""\n'
            f'api_url = "{way.url}"\nsandbox_url = "{way.url}"\n'
            f'api_key = "{vendor.key}"\ndomain = "{vendor.variables["E2B_DOMAIN"]}"\n'
        )
        monkeypatch.chdir(tmp_path)
        yield way


def theirs(vendor: Served) -> list[str]:
    """What the server has, asked without the plugin and without the proxy."""
    return [one.sandbox_id for one in Theirs.list(**vendor.params).next_items()]


@pytest.mark.parametrize("way", ["never sent", "answer lost"])
def test_a_create_that_is_lost_makes_one_sandbox(vendor: Served, proxy: Proxy, way) -> None:
    proxy.faults.append(Fault(CREATE, way))
    with Sandbox.create("faulty") as sandbox:
        assert theirs(vendor) == [sandbox.id]
        # Whose answer was lost is found and not made again; the SDK itself tries nothing again.
        assert proxy.count(CREATE) == 1
        assert proxy.faults[0].seen == (1 if way == "answer lost" else 2)
    assert theirs(vendor) == []


@pytest.mark.parametrize("way", ["never sent", "answer lost"])
def test_a_create_that_is_always_lost_leaves_nothing(vendor: Served, proxy: Proxy, way) -> None:
    proxy.faults.append(Fault(CREATE, way, times=100))
    if way == "answer lost":
        proxy.faults.append(Fault(r"GET /v2/sandboxes\?", "never sent", times=3))
    with pytest.raises(TransportError) as caught:
        Sandbox.create("faulty")
    assert (caught.value.op, caught.value.provider) == ("create", "e2b")
    assert caught.value.outcome in ("unknown", "not_started")
    assert vendor.key not in repr(caught.value)
    assert theirs(vendor) == []


def test_who_is_too_fast_or_finds_it_busy_tries_again(vendor: Served, proxy: Proxy) -> None:
    proxy.faults += [Fault(CREATE, answer=LIMITED), Fault(CREATE, answer=BUSY)]
    with Sandbox.create("faulty") as sandbox:
        assert theirs(vendor) == [sandbox.id]
        assert proxy.count(CREATE) == 1


@pytest.mark.parametrize("answer", STRANGE)
def test_what_speaks_for_the_server_is_not_believed(vendor: Served, proxy: Proxy, answer) -> None:
    proxy.faults.append(Fault(CREATE, answer=answer))
    with Sandbox.create("faulty") as sandbox:
        assert theirs(vendor) == [sandbox.id]
    proxy.faults = [Fault(r"GET /v2/sandboxes\?", answer=answer.replace(b"201", b"200"), times=9)]
    with pytest.raises(SandboxError) as caught:
        Sandbox.list("faulty")
    assert caught.value.provider == "e2b"


def test_who_is_always_too_fast_is_told(vendor: Served, proxy: Proxy) -> None:
    proxy.faults.append(Fault(CREATE, answer=LIMITED, times=100))
    with pytest.raises(RateLimitError) as caught:
        Sandbox.create("faulty")
    assert (caught.value.outcome, caught.value.retryable) == ("not_started", True)
    assert proxy.count(CREATE) == 0


@pytest.mark.parametrize("way", ["never sent", "answer lost"])
def test_a_command_is_started_once_at_most(vendor: Served, proxy: Proxy, way) -> None:
    with Sandbox.create("faulty") as sandbox:
        assert sandbox.run("echo there").stdout == "there\n"
        proxy.faults.append(Fault(INPUT, way))
        try:
            assert sandbox.run("echo once >> count").ok
        except (ExecLostError, TransportError) as error:
            outcomes = {error.outcome}
        else:
            outcomes = {"unknown"}
        assert outcomes == {"unknown"}
        assert proxy.faults[0].seen
        # Theirs looks: our own connection may be lost only now, with what was begun meanwhile.
        look = f"cat {sandbox.info().workdir}/count 2>/dev/null || true"
        counted = Theirs.connect(sandbox.id, **vendor.params).commands.run(look).stdout
        assert counted in ("", "once\n")
        if way == "answer lost":
            assert counted == "once\n"


def test_a_cut_connection_loses_no_output(proxy: Proxy) -> None:
    with Sandbox.create("faulty") as sandbox:
        seen: list[str] = []

        def told(text: str) -> None:
            if not seen:
                proxy.cut()
            seen.append(text)

        ran = sandbox.run("for i in $(seq 60); do echo $i; sleep 0.02; done", on_stdout=told)
        assert ran.stdout == "".join(f"{i}\n" for i in range(1, 61))
        assert "".join(seen) == ran.stdout


def test_nothing_of_a_key_is_told_by_a_server_that_is_away(
    proxy: Proxy, vendor: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.faults.append(Fault(r"[A-Z]+ ", times=100))
    with pytest.raises(TransportError) as caught:
        Sandbox.list("faulty")
    assert vendor.key not in f"{caught.value!r} {caught.value}"
    assert os.environ.get("E2B_API_KEY") is None or vendor.key not in str(caught.value)
