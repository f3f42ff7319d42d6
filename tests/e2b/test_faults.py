"""What goes wrong between the SDK and its server, and what the plugin's users hear of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2b import Sandbox as Theirs

from sandboxkit import ExecLostError, RateLimitError, Sandbox, SandboxError, TransportError
from tests.gateway.conftest import Served
from tests.vendors.broken_wire import Fault, Rule, Wire, answered, dropped, unsent, wire_beside

CREATE = b"POST /v2/sandboxes "
LIST = b"GET /v2/sandboxes?"
INPUT = b"POST /process.Process/SendInput "
LIMITED = answered(
    "429 Too Many Requests", b'{"code": 429, "message": "slow"}', "Retry-After: 1\r\n"
)
BUSY = answered("503 Service Unavailable", b'{"code": 503, "message": "busy"}')
STRANGE = [
    ("429 Too Many Requests", b"{}"),
    ("502 Bad Gateway", b"<html>a wire says so</html>"),
    ("200 OK", b"<html>not what was asked</html>"),
]


@pytest.fixture
def wire(vendor: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """A way to the server, and a profile ``faulty`` that takes it."""
    with wire_beside(*vendor.host()) as (way, address):
        (tmp_path / "sandboxkit.toml").write_text(
            '[profiles.faulty]\nprovider = "e2b"\nguest_user = ""\n'
            f'api_url = "http://{address}"\nsandbox_url = "http://{address}"\n'
            f'api_key = "{vendor.key}"\ndomain = "{vendor.variables["E2B_DOMAIN"]}"\n'
        )
        monkeypatch.chdir(tmp_path)
        yield way


def theirs(vendor: Served) -> list[str]:
    """What the server has, asked without the plugin and without the wire."""
    return [one.sandbox_id for one in Theirs.list(**vendor.params).next_items()]


@pytest.mark.parametrize("way", [unsent, dropped])
def test_a_create_that_is_lost_makes_one_sandbox(vendor: Served, wire: Wire, way: Fault) -> None:
    wire.rules.append(Rule(CREATE, way))
    with Sandbox.create("faulty") as sandbox:
        assert theirs(vendor) == [sandbox.id]
        # Whose answer was lost is found and not made again; the SDK itself tries nothing again.
        assert wire.count(CREATE) == 1
        assert wire.rules[0].seen == (1 if way is dropped else 2)
    assert theirs(vendor) == []


@pytest.mark.parametrize("way", [unsent, dropped])
def test_a_create_that_is_always_lost_leaves_nothing(
    vendor: Served, wire: Wire, way: Fault
) -> None:
    wire.rules.append(Rule(CREATE, way, times=100))
    if way is dropped:
        wire.rules.append(Rule(LIST, unsent, times=3))
    with pytest.raises(TransportError) as caught:
        Sandbox.create("faulty")
    assert (caught.value.op, caught.value.provider) == ("create", "e2b")
    assert caught.value.outcome in ("unknown", "not_started")
    assert vendor.key not in repr(caught.value)
    assert theirs(vendor) == []


def test_who_is_too_fast_or_finds_it_busy_tries_again(vendor: Served, wire: Wire) -> None:
    wire.rules += [Rule(CREATE, LIMITED), Rule(CREATE, BUSY)]
    with Sandbox.create("faulty") as sandbox:
        assert theirs(vendor) == [sandbox.id]
        assert wire.count(CREATE) == 1


@pytest.mark.parametrize(("status", "body"), STRANGE)
def test_what_speaks_for_the_server_is_not_believed(
    vendor: Served, wire: Wire, status: str, body: bytes
) -> None:
    wire.rules.append(Rule(CREATE, answered(status.replace("200 OK", "201 Created"), body)))
    with Sandbox.create("faulty") as sandbox:
        assert theirs(vendor) == [sandbox.id]
    wire.rules[:] = [Rule(LIST, answered(status, body), times=9)]
    with pytest.raises(SandboxError) as caught:
        Sandbox.list("faulty")
    assert caught.value.provider == "e2b"


def test_who_is_always_too_fast_is_told(vendor: Served, wire: Wire) -> None:
    wire.rules.append(Rule(CREATE, LIMITED, times=100))
    with pytest.raises(RateLimitError) as caught:
        Sandbox.create("faulty")
    assert (caught.value.outcome, caught.value.retryable) == ("not_started", True)
    assert wire.count(CREATE) == 0


@pytest.mark.parametrize("way", [unsent, dropped])
def test_a_command_is_started_once_at_most(vendor: Served, wire: Wire, way: Fault) -> None:
    with Sandbox.create("faulty") as sandbox:
        assert sandbox.run("echo there").stdout == "there\n"
        wire.rules.append(Rule(INPUT, way))
        try:
            assert sandbox.run("echo once >> count").ok
        except (ExecLostError, TransportError) as error:
            outcomes = {error.outcome}
        else:
            outcomes = {"unknown"}
        assert outcomes == {"unknown"}
        assert wire.rules[0].seen
        # Theirs looks: our own connection may be lost only now, with what was begun meanwhile.
        look = f"cat {sandbox.info().workdir}/count 2>/dev/null || true"
        counted = Theirs.connect(sandbox.id, **vendor.params).commands.run(look).stdout
        assert counted in ("", "once\n")
        if way is dropped:
            assert counted == "once\n"


def test_a_cut_connection_loses_no_output(wire: Wire) -> None:
    with Sandbox.create("faulty") as sandbox:
        seen: list[str] = []

        def told(text: str) -> None:
            if not seen:
                wire.cut()
            seen.append(text)

        ran = sandbox.run("for i in $(seq 60); do echo $i; sleep 0.02; done", on_stdout=told)
        assert ran.stdout == "".join(f"{i}\n" for i in range(1, 61))
        assert "".join(seen) == ran.stdout


def test_nothing_of_a_key_is_told_by_a_server_that_is_away(
    wire: Wire, vendor: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.rules.append(Rule(b"", unsent, times=100))
    with pytest.raises(TransportError) as caught:
        Sandbox.list("faulty")
    assert vendor.key not in f"{caught.value!r} {caught.value}"
    assert os.environ.get("E2B_API_KEY") is None or vendor.key not in str(caught.value)
