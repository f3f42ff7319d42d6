"""One private daemon for the whole run, and at its end a check that nothing is left of it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxkit import portal
from sandboxkit_docker.settings import IMAGE_VARIABLE
from sandboxkit_local import paths
from tests import engine, wires
from tests.engine import EngineCensus
from tests.leaks import Census
from tests.local.harness import stop_daemon

OWNER = f"tests-{os.getpid()}-{secrets.token_hex(4)}"
"""Whose everything is that a run makes; others may be at work on the same engine."""

USED: list[Path] = []
"""State directories that were made here."""

WRONG = pytest.StashKey[list[str]]()
"""What went wrong with the servers that speak vendors' protocols."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts its background jobs so, and our children, which tests interrupt, inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


HERE = "memory,local" if engine.why_not() else "memory,local,docker"
PROVIDERS = os.environ.get("SANDBOXKIT_TEST_PROVIDERS", HERE)


def census_of_engine(config: pytest.Config) -> EngineCensus:
    """What is on the engine, unless only wires are tested that nothing of Docker is behind."""
    profiles = set(config.option.sandbox_profiles)
    if profiles <= wires.WIRES.keys() and os.environ.get(wires.BEHIND) != "docker":
        return EngineCensus()  # others are at work there, and what ends there is no concern of ours
    return EngineCensus.take(OWNER)


@pytest.fixture(scope="session", autouse=True)
def private_daemon(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests never touch the daemon of the user who runs them."""
    state = Path(tempfile.mkdtemp(prefix="sandboxkit-test-"))
    USED.append(state)
    before, engine_before = Census.take(state), census_of_engine(request.config)
    os.environ[paths.STATE_VARIABLE] = str(state)
    os.environ["SANDBOXKIT_OWNER"] = OWNER
    os.environ["XDG_CONFIG_HOME"] = wires.configuration(state / "no-configuration")
    yield
    portal.shut_down()
    stop_if_there(state)
    left = Census.take(state).since(before)
    files = [name for name in left.pop("files", []) if "/snapshots/" in str(name)]
    shutil.rmtree(state)
    on_engine = census_of_engine(request.config).since(engine_before)
    assert not on_engine, f"the run left this behind on the engine: {on_engine}"
    assert not left, f"the run left this behind: {left}"
    assert not files, f"snapshots that no test deleted: {files}"


def stop_if_there(state: Path) -> None:
    """End a daemon, if one serves there."""
    where = paths.locate(state)
    if where.socket.exists():
        stop_daemon(where)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the servers of wires, once the contract's plugin has seen what is left behind them."""
    wrong = wires.stop(stop_if_there)
    if wrong:
        session.config.stash[WRONG] = wrong
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure() -> None:
    """End the daemon that the suite started, after all fixtures, to see what was left."""
    for state in USED:
        portal.shut_down()
        stop_if_there(state)
        shutil.rmtree(state, ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    """Ours are held to the contract, unless others are named; nothing is left out silently."""
    config.option.sandbox_profiles = config.option.sandbox_profiles or PROVIDERS.split(",")
    os.environ.setdefault(IMAGE_VARIABLE, "sandboxkit-test:base")
    wires.serve(config.option.sandbox_profiles)
    if engine.is_needed() and engine.why_not():
        raise pytest.UsageError(f"the tests of the docker provider cannot run: {engine.why_not()}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what did not run, and what went wrong with servers."""
    for line in terminalreporter.config.stash.get(WRONG, []):
        terminalreporter.write_line(line, red=True)
    if engine.why_not():
        terminalreporter.section("NOT TESTED: the docker provider", red=True, bold=True)
        terminalreporter.line(engine.why_not())
