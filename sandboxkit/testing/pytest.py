"""Fixtures for users' own tests: a fresh sandbox for each, killed whatever happens.

Asked for in the ``conftest.py`` at the top of the tests::

    pytest_plugins = ["sandboxkit.testing.pytest"]
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from ..config import load_config
from ..errors import ConfigError, ProviderNotFoundError, ProviderUnavailableError
from ..sandbox import AsyncSandbox, Creating
from ..sync import Sandbox
from ..sync_parts import Snapshot
from .failure import describe

__all__ = [
    "async_sandbox",
    "prepare_sandbox",
    "sandbox",
    "sandbox_create",
    "sandbox_options",
    "sandbox_profile",
    "sandbox_snapshot",
]

Prepare = Callable[[Sandbox], object]

_ORIGINS = ("image", "snapshot", "template")
_made = pytest.StashKey[list[Sandbox]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--sandbox-profile``, and the setting ``sandbox_profile``."""
    group = parser.getgroup("sandboxkit")
    group.addoption(
        "--sandbox-profile",
        metavar="NAME",
        help="The profile or provider that makes the tests' sandboxes.",
    )
    parser.addini("sandbox_profile", "The profile that makes the tests' sandboxes.", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a profile that is not there before any test runs."""
    name = _profile(config)
    if name is not None:
        try:
            load_config().profile(name)
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from None


def _profile(config: pytest.Config) -> str | None:
    # There is no such option where the plugin was asked for too late for the command line.
    given = config.getoption("--sandbox-profile", default=None)
    return given or config.getini("sandbox_profile") or None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say of each sandbox of a failed test where it is and what ran in it."""
    report = yield
    if report.failed and report.when != "teardown":
        for sandbox in item.stash.get(_made, []):
            report.sections.append((f"sandbox {sandbox.address}", describe(sandbox)))
    return report


@pytest.fixture(scope="session")
def sandbox_profile(request: pytest.FixtureRequest) -> str | None:
    """The profile of the tests' sandboxes; ``None`` is the configured default.

    Taken from ``--sandbox-profile``, else the setting ``sandbox_profile``.
    """
    return _profile(request.config)


@pytest.fixture(scope="session")
def sandbox_options() -> Mapping[str, Any]:
    """Arguments of `create` for every sandbox; override it to have some."""
    return {}


@pytest.fixture(scope="session")
def prepare_sandbox() -> Prepare | None:
    """What prepares a sandbox, once for all tests; override it to return a function of one."""
    return None


@pytest.fixture(scope="session")
def sandbox_snapshot(
    sandbox_profile: str | None,
    sandbox_options: Mapping[str, Any],
    prepare_sandbox: Prepare | None,
) -> Iterator[Snapshot | None]:
    """A snapshot of a prepared sandbox, from which all others start; deleted at the end.

    ``None`` without a preparation, or where the provider has no snapshots.
    """
    if prepare_sandbox is None:
        yield None
        return
    with _explained(sandbox_profile):
        prepared = Sandbox.create(sandbox_profile, **sandbox_options)
    with prepared:
        saved = None
        if prepared.capabilities.snapshots:
            prepare_sandbox(prepared)
            saved = prepared.snapshot(expires="1d")  # in case nobody comes to delete it
    try:
        yield saved
    finally:
        if saved is not None:
            saved.delete()


@pytest.fixture
def sandbox_create(
    request: pytest.FixtureRequest,
    sandbox_profile: str | None,
    sandbox_options: Mapping[str, Any],
    sandbox_snapshot: Snapshot | None,
    prepare_sandbox: Prepare | None,
) -> Iterator[Callable[..., Sandbox]]:
    """Makes sandboxes: a function with the arguments of `create`. All are killed afterwards.

    Each starts as prepared, unless it is told what else to start from.
    """
    made = request.node.stash.setdefault(_made, [])

    with ExitStack() as stack:

        def create(profile: str | None = None, **options: Any) -> Sandbox:
            prepared = not any(options.get(name) for name in _ORIGINS) and profile is None
            arguments = _arguments(sandbox_options, sandbox_snapshot if prepared else None)
            with _explained(profile or sandbox_profile):
                one = Sandbox.create(profile or sandbox_profile, **{**arguments, **options})
            made.append(stack.enter_context(one))
            if prepared and prepare_sandbox is not None and sandbox_snapshot is None:
                prepare_sandbox(one)
            return one

        yield create


@pytest.fixture
def sandbox(sandbox_create: Callable[..., Sandbox]) -> Sandbox:
    """A fresh sandbox, as prepared; killed afterwards."""
    return sandbox_create()


@pytest.fixture
def async_sandbox(
    sandbox_profile: str | None,
    sandbox_options: Mapping[str, Any],
    sandbox_snapshot: Snapshot | None,
) -> Creating:
    """A sandbox that is about to be: ``async with async_sandbox as sbx``, which kills it."""
    return AsyncSandbox.create(sandbox_profile, **_arguments(sandbox_options, sandbox_snapshot))


def _arguments(options: Mapping[str, Any], snapshot: Snapshot | None) -> dict[str, Any]:
    if snapshot is None:
        return dict(options)
    kept = {name: value for name, value in options.items() if name not in _ORIGINS}
    return {**kept, "snapshot": snapshot.address}


@contextmanager
def _explained(profile: str | None) -> Iterator[None]:
    """Fail the test in words where no sandbox can be made at all: a traceback helps nobody."""
    try:
        yield
    except (ConfigError, ProviderNotFoundError, ProviderUnavailableError) as error:
        named = f"profile {profile!r}" if profile else "the default profile"
        pytest.fail(
            f"no sandbox can be made with {named}: {error}\n"
            "  or name another: pytest --sandbox-profile NAME",
            pytrace=False,
        )
