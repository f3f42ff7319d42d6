"""The fixtures that users' tests get, used as users would: in a run of pytest of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sandboxkit import Sandbox

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a test module, with a `conftest.py` that has the fixtures, in a process of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(pytester.path))
    monkeypatch.delenv("SANDBOXKIT_PROFILE", raising=False)

    def run(tests: str, *arguments: str, conftest: str = "") -> pytest.RunResult:
        pytester.makeconftest(f"pytest_plugins = ['sandboxkit.testing.pytest']\n{conftest}")
        pytester.makepyfile(tests)
        options = ("-p", "no:cacheprovider", "--strict-config", "-W", "error", *arguments)
        return pytester.runpytest_subprocess(*options, timeout=100)

    return run


@pytest.fixture(autouse=True)
def nothing_left():
    before = {info.address for info in Sandbox.list("local")}
    saved = {one.address for one in Sandbox.snapshots("local")}
    yield
    assert {info.address for info in Sandbox.list("local")} <= before
    assert {one.address for one in Sandbox.snapshots("local")} <= saved


def test_a_fresh_one_for_each_test(run: Run) -> None:
    result = run(
        """
        seen = set()

        def test_one(sandbox):
            seen.add(sandbox.address)
            sandbox.files.write("x", "1")

        def test_two(sandbox):
            assert sandbox.address not in seen
            assert not sandbox.files.exists("x")

        def test_three(sandbox, sandbox_create):
            other = sandbox_create(env={"NAME": "value"})
            assert other.address != sandbox.address
            assert other.run("echo $NAME").stdout == "value\\n"
        """,
        "--sandbox-profile=local",
    )
    result.assert_outcomes(passed=3)


def test_prepared_once(run: Run) -> None:
    result = run(
        """
        def test_one(sandbox, sandbox_snapshot, sandbox_create):
            assert sandbox.files.read_text("prepared") == "1"
            assert sandbox_snapshot.address.startswith("local:")
            sandbox.files.write("prepared", "changed")
            assert sandbox_create().files.read_text("prepared") == "1"
            assert not sandbox_create(template="python").files.exists("prepared")

        def test_two(sandbox):
            assert sandbox.files.read_text("prepared") == "1"
            assert sandbox.run("echo $FROM").stdout == "options\\n"

        def test_async(async_sandbox):
            import asyncio

            async def main():
                async with async_sandbox as sbx:
                    return await sbx.files.read_text("prepared")

            assert asyncio.run(main()) == "1"
        """,
        "--sandbox-profile=local",
        conftest="""
import pytest

calls = []

@pytest.fixture(scope="session")
def sandbox_options():
    return {"env": {"FROM": "options"}}

@pytest.fixture(scope="session")
def prepare_sandbox():
    def prepare(sandbox):
        calls.append(sandbox.address)
        sandbox.files.write("prepared", str(len(calls)))
    return prepare
""",
    )
    result.assert_outcomes(passed=3)


def test_a_failure_shows_the_sandbox(run: Run) -> None:
    result = run(
        """
        def test_fails(sandbox):
            sandbox.run("echo to be seen; exit 7")
            process = sandbox.start("exec tail -f /dev/null")
            assert False

        def test_killed(sandbox):
            sandbox.kill()
            assert False

        def test_passes(sandbox):
            pass
        """,
        "--sandbox-profile=local",
    )
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.re_match_lines_random(
        [
            r"-+ sandbox local:\w+ -+",
            r"address: local:\w+",
            r"isolation: namespaces, user: user, workdir: /home/user",
            r"  \d+: exit 7: .*echo to be seen; exit 7.*",
            r"  \d+: running: .*tail -f /dev/null.*",
            r"and no more can be said: .*was killed",
        ]
    )
    assert result.stdout.str().count("-- sandbox local:") == 2


def test_the_model_and_the_setting(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nsandbox_profile = memory")
    result = run(
        """
        import pytest
        from sandboxkit.testing import Reply, world

        def test_one(sandbox, sandbox_profile):
            assert sandbox_profile == "memory"
            world().reply("uname", Reply(stdout="Model"))
            assert sandbox.run("uname").stdout == "Model"
            assert sandbox.files.read_text("prepared") == "yes"

        def test_fails(sandbox):
            assert False
        """,
        conftest="""
import pytest

@pytest.fixture(scope="session")
def prepare_sandbox():
    return lambda sandbox: sandbox.files.write("prepared", "yes")
""",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.re_match_lines([r"-+ sandbox memory:\w+ -+", r"isolation: none.*"])


def test_a_profile_that_is_not_there(run: Run) -> None:
    result = run("def test_one(sandbox): pass", "--sandbox-profile=lokal")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: there is no profile 'lokal'; did you mean 'local'?*"])


def test_a_provider_that_cannot_work_here(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pytester.path / "file").touch()
    monkeypatch.setenv("SANDBOXKIT_STATE_DIR", str(pytester.path / "file" / "state"))
    result = run("def test_one(sandbox): pass", "--sandbox-profile=local")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "no sandbox can be made with profile 'local': cannot use *state*",
            "*try: *",
            "*--sandbox-profile NAME",
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_asked_for_by_a_module(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        pytest_plugins = ["sandboxkit.testing.pytest"]

        def test_one(sandbox_create):
            assert sandbox_create("memory").provider == "memory"
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=100).assert_outcomes(passed=1)


def test_ctrl_c_leaves_nothing(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("pytest_plugins = ['sandboxkit.testing.pytest']")
    path = pytester.makepyfile(
        """
        def test_one(sandbox, sandbox_create):
            sandbox_create()
            print(sandbox.address, flush=True)
            sandbox.run("exec tail -f /dev/null")
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-s", "-q", "--sandbox-profile=local", str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=pytester.path,
    )
    assert process.stdout is not None
    with process:
        address = process.stdout.readline().strip()
        assert address.startswith("local:")
        os.kill(process.pid, signal.SIGINT)
        assert "KeyboardInterrupt" in process.stdout.read()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert address not in {info.address for info in Sandbox.list("local")}


def test_it_is_loaded_only_when_asked_for(tmp_path: Path) -> None:
    program = "import sys, sandboxkit.testing; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
