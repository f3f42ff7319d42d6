"""The pytest plugin. It is never loaded by itself: name it with ``-p`` or in ``pytest_plugins``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from sandboxkit import Sandbox, SandboxError

from . import known_failures, roster, selection
from .nursery import Client, Nurseries
from .page import page
from .record import Record, lost_proofs
from .summary import summary
from .target import Target, examine

__all__: list[str] = []

pytest.register_assert_rewrite(roster.SUITE)

_RUN = pytest.StashKey["_Run"]()


class _Run:
    """One run of the suite: the providers under test and what is known of them so far."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.topics: list[str] = config.getoption("sandbox_topics")
        self.session = f"conformance-{uuid4().hex[:12]}"
        known = config.getoption("known_failures")
        self.known = known_failures.read(Path(known)) if known else {}
        self.proofs: dict[str, dict[str, Any]] = {}
        self.began = time.monotonic()
        self.records: dict[str, Record] = {}
        unknown = sorted(set(self.topics) - set(roster.TOPICS))
        if unknown:
            raise pytest.UsageError(
                f"no such topic: {', '.join(unknown)}; there are: {', '.join(roster.TOPICS)}"
            )

    @property
    def profiles(self) -> list[str]:
        """Which were named."""
        named: list[str] = self.config.getoption("sandbox_profiles")
        return named

    def prepare(self) -> None:
        """Open every provider.

        Raises:
            pytest.UsageError: none was named, or one cannot work here: never a reason to skip.
        """
        if not self.profiles:
            raise pytest.UsageError("no provider was named: --sandbox-profile NAME")
        for profile in self.profiles:
            try:
                self.records[profile] = Record(examine(profile))
            except SandboxError as error:
                raise pytest.UsageError(f"{profile}: {error}") from error
        self.proofs = {profile: self._earlier(profile) for profile in self.profiles}

    def _earlier(self, profile: str) -> dict[str, Any]:
        """The report whose proofs must not be lost; empty if none was asked for."""
        name: str | None = self.config.getoption("sandbox_proofs")
        if not name:
            return {}
        path = Path(name.replace("{profile}", profile))
        try:
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise pytest.UsageError(f"--proofs: {path} is no report: {error}") from error
        return found

    def lost(self, profile: str) -> list[str]:
        """What the earlier report had proved and this run has not."""
        before = self.proofs.get(profile)
        return lost_proofs(before, self.records[profile].as_json()) if before else []

    def applies(self, item: pytest.Item) -> bool:
        """Whether a test is for the provider that it was made for."""
        record = self.record_of(item)
        topic = roster.topic_of(item)
        if self.topics and topic not in self.topics:
            return False
        return record is None or selection.needs_of(item).fits(record.subject.capabilities)

    def record_of(self, item: pytest.Item) -> Record | None:
        """The record that a test counts for."""
        callspec = getattr(item, "callspec", None)
        profile = callspec.params.get("target") if callspec is not None else None
        return self.records.get(profile) if isinstance(profile, str) else None


# -- configuration ------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options."""
    group = parser.getgroup("sandboxkit", "sandboxkit conformance")
    group.addoption(
        "--sandbox-profile", dest="sandbox_profiles", action="append", default=[], metavar="NAME",
        help="a profile or provider to test; may be given several times",
    )  # fmt: skip
    group.addoption(
        "--only", dest="sandbox_topics", action="append", default=[], metavar="TOPIC",
        help=f"only this topic; may be given several times: {', '.join(roster.TOPICS)}",
    )  # fmt: skip
    group.addoption(
        "--report", dest="sandbox_report", metavar="FILE",
        help="write the report: .json or .html; {profile} in it stands for the profile's name",
        action="append", default=[],
    )  # fmt: skip
    group.addoption(
        "--depth", dest="sandbox_depth", choices=["model", "near", "far"],
        help="how far random sequences go; by default as far away as the provider is",
    )  # fmt: skip
    group.addoption(
        "--known-failures", metavar="FILE",
        help="tests that are known to fail, a line each: test_name  # reason",
    )  # fmt: skip
    group.addoption(
        "--proofs", dest="sandbox_proofs", metavar="FILE",
        help="an earlier report (.json; {profile} as above): losing one of its proofs is a failure",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Our marks."""
    for line in (
        "needs(*capabilities, keeps=None): for providers that declare these, and whose pauses keep",
        "without(*capabilities): the test is for providers that do not declare these",
        "slow: takes more than ten seconds",
    ):
        config.addinivalue_line("markers", line)
    config.stash[_RUN] = _Run(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each provider; which of them apply is seen when all are collected."""
    own = any("target" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "target" in metafunc.fixturenames and not own:
        # That none was named is told when all are collected: here it would be one error a test.
        profiles = metafunc.config.stash[_RUN].profiles or ["nobody"]
        metafunc.parametrize("target", profiles, indirect=True, scope="function")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """See that the suite is whole, then leave out what is not for a provider."""
    run = config.stash[_RUN]
    if not any("target" in getattr(item, "fixturenames", ()) for item in items):
        return
    run.prepare()
    roster.check_shadowing(items)
    ours = any(roster.belongs(item) for item in items)
    complete = ours and not run.topics and _asks_for_all(config)
    lost = roster.missing(items) if complete else []
    if lost:
        raise pytest.UsageError(f"conformance tests removed or shadowed: {', '.join(lost)}")
    chosen = [item for item in items if run.applies(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen
    for item in chosen:
        record, topic = run.record_of(item), roster.topic_of(item)
        if record is not None and topic is not None:
            record.expect(_name(item), topic, selection.needs_of(item))
            _expect_failure(item, run)
    for record in run.records.values():
        record.complete = complete
    if complete:
        names = {_base(item) for item in chosen}
        known_failures.check_matched(run.known, names)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """What is not going to be run, for whatever reason, is not expected."""
    for item in items:
        record = item.config.stash[_RUN].record_of(item)
        if record is not None:
            record.tests.pop(_name(item), None)


def _expect_failure(item: pytest.Item, run: _Run) -> None:
    reason = run.known.get(_base(item))
    if reason is not None:
        item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def _asks_for_all(config: pytest.Config) -> bool:
    if config.getoption("keyword") or config.getoption("markexpr") or config.getoption("lf", False):
        return False
    part = f"{roster.SUITE}.test_"
    return not any("::" in argument or part in argument for argument in config.args)


def _base(item: pytest.Item) -> str:
    return str(getattr(item, "originalname", item.name))


def _name(item: pytest.Item) -> str:
    """The test's name, with its own parameters but without the provider."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return item.name
    parameters = callspec.id.replace(str(callspec.params.get("target")), "", 1).strip("-")
    return f"{_base(item)}[{parameters}]" if parameters else _base(item)


# -- what tests get -----------------------------------------------------------------------------


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """The provider under test; a sandbox that the test leaves behind is its failure."""
    run = request.config.stash[_RUN]
    profile: str = request.param
    session = f"{run.session}-{uuid4().hex[:8]}"
    yield Target(profile, run.records[profile].subject.capabilities, session)
    left = Sandbox.list(profile, session=session)
    for info in left:
        with Sandbox.connect(info.address, profile=profile, resume=False) as sandbox:
            sandbox.kill()
    assert not left, f"the test left sandboxes behind: {[info.address for info in left]}"


@pytest.fixture
def sandbox(target: Target) -> Iterator[Sandbox]:
    """A fresh sandbox, killed afterwards."""
    with target.create() as made:
        yield made


@pytest.fixture(scope="session")
def sandbox_nurseries() -> Iterator[Nurseries]:
    """What `sandbox_client` starts them from."""
    with Nurseries() as nurseries:
        yield nurseries


@pytest.fixture
def sandbox_client(target: Target, sandbox_nurseries: Nurseries) -> Callable[..., Client]:
    """Runs a program, with arguments, as a client in a process of its own, to be killed."""
    return partial(sandbox_nurseries.client, target.profile)


# -- outcomes -----------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip within the suite is a failure: a provider proves what it declares, or does not."""
    report = yield
    if not roster.belongs(item):
        return report
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"a conformance test may not skip: {report.longrepr}"
    run = item.config.stash[_RUN]
    record = run.record_of(item)
    if record is not None and _name(item) in record.tests:
        if hasattr(report, "wasxfail") and report.skipped:
            record.add(_name(item), "known failure", report.duration, report.wasxfail)
        elif report.failed:
            record.add(_name(item), "failed", report.duration, str(report.longrepr)[-2000:])
        elif report.when == "call":
            record.add(_name(item), "passed", report.duration)
        else:
            record.tests[_name(item)].seconds += report.duration
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look for what the run has left, then write the reports."""
    run = session.config.stash[_RUN]
    for profile, record in run.records.items():
        record.seconds = time.monotonic() - run.began
        record.left = [
            *_left(profile, run.session, snapshots=record.subject.capabilities.snapshots)
        ]
        if record.left or (record.complete and session.exitstatus == 0 and not record.ok):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        for name in session.config.getoption("sandbox_report"):
            path = Path(name.replace("{profile}", profile))
            if path.suffix == ".html":
                path.write_text(page(record), "utf-8")
            else:
                record.write(path)
        if run.lost(profile):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _left(profile: str, session: str, *, snapshots: bool) -> Iterator[str]:
    for info in Sandbox.list(profile):
        if str(info.labels.get("session", "")).startswith(session):
            yield info.address
    if snapshots:
        for snapshot in Sandbox.snapshots(profile):
            if str(snapshot.info.labels.get("session", "")).startswith(session):
                yield snapshot.address


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table."""
    config = terminalreporter.config
    if config.option.collectonly:
        return
    run = config.stash[_RUN]
    for profile, record in run.records.items():
        if record.tests or record.left:
            terminalreporter.write_line("")
            width = terminalreporter._tw.fullwidth
            text = summary(record, width, colour=terminalreporter._tw.hasmarkup)
            terminalreporter.write(text)
            for line in run.lost(profile):
                terminalreporter.write_line(f"a proof is lost: {line}", red=True)
