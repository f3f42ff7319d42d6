"""Durations, sizes, and what every error promises."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from sandboxkit import errors
from sandboxkit.errors import InvalidRequestError, SandboxError, file_error
from sandboxkit.models import CommandResult, Execution
from sandboxkit.units import format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(90, 90), (0.5, 0.5), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("250ms", 0.25),
     ("1.5h", 5400), ("2d", 172800), (timedelta(minutes=2), 120), (" 1h 5s ", 3605)],
)  # fmt: skip
def test_durations(given: object, seconds: float) -> None:
    assert parse_duration(given) == seconds


@pytest.mark.parametrize("bad", ["", "10", "m", "1x", "-5s", -1, float("nan"), float("inf"), True])
def test_bad_durations(bad: object) -> None:
    with pytest.raises(InvalidRequestError, match="lifetime"):
        parse_duration(bad, "lifetime")


@pytest.mark.parametrize(
    ("given", "count"),
    [(10, 10), ("10", 10), ("64KiB", 65536), ("2GiB", 2 << 30), ("5GB", 5 * 10**9),
     ("1.5MiB", 3 << 19), ("7 B", 7)],
)  # fmt: skip
def test_sizes(given: int | str, count: int) -> None:
    assert parse_size(given) == count


@pytest.mark.parametrize("bad", ["", "x", "-1", -1, "2Gib", "1 KiBs", True])
def test_bad_sizes(bad: int | str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_size(bad)


def test_format_size() -> None:
    assert [format_size(size) for size in (0, 1023, 1536, 3 << 30)] == [
        "0 B", "1023 B", "1.5 KiB", "3.0 GiB",
    ]  # fmt: skip


def _every_error() -> list[SandboxError]:
    special = {
        "CommandFailedError": {"result": CommandResult(exit_code=1)},
        "CommandTimeoutError": {"result": CommandResult(exit_code=143)},
        "CodeFailedError": {"execution": Execution()},
        "CodeTimeoutError": {"execution": Execution(), "state_kept": True},
        "ExecLostError": {"cause": "killed"},
        "WriteManyError": {"failures": {"/p": errors.PathNotFoundError("gone", path="/p")}},
    }
    made = []
    for name in errors.__all__:
        cls = getattr(errors, name)
        if isinstance(cls, type) and issubclass(cls, SandboxError):
            path = {"path": "/p"} if issubclass(cls, errors.FileError) else {}
            more = special.get(name, path)
            made.append(cls("what happened", op="run", provider="p", sandbox_id="s", **more))
    return made


@pytest.mark.parametrize("error", _every_error(), ids=lambda error: type(error).__name__)
def test_every_error_keeps_its_promises(error: SandboxError) -> None:
    assert str(error) == "what happened"
    assert error.code != "sandbox_error" or type(error) is SandboxError
    assert error.outcome in ("not_started", "unknown", "completed")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.op, copy.provider, copy.sandbox_id, copy.outcome) == (
        str(error), "run", "p", "s", error.outcome,
    )  # fmt: skip
    assert {
        key: value for key, value in vars(copy).items() if key not in ("partial", "failures")
    } == {key: value for key, value in vars(error).items() if key not in ("partial", "failures")}


def test_codes_are_unique() -> None:
    codes = [error.code for error in _every_error()]
    assert len(codes) == len(set(codes))


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    for error in _every_error():
        assert type(error).__name__ in (errors.__doc__ or "")


def test_file_errors_by_number() -> None:
    error = file_error(2, "/x", "/x: none")
    assert isinstance(error, FileNotFoundError)
    assert (error.errno, error.filename, str(error)) == (2, "/x", "/x: none")
    assert type(file_error(28, "/x", "full")) is errors.FileError


def test_the_hint_ends_the_message() -> None:
    error = SandboxError("broken", hint="sandboxkit doctor")
    assert str(error) == "broken\n  try: sandboxkit doctor"
