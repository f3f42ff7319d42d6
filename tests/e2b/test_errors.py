"""Each thing the SDK raises becomes the right error of ours."""

from __future__ import annotations

import asyncio
import inspect
import json
from types import ModuleType

import connectrpc.errors
import e2b
import e2b.exceptions
import httpcore
import httpx
import pyqwest
import pytest
from connectrpc.code import Code

from sandboxkit import errors
from sandboxkit_e2b.account import Account
from sandboxkit_e2b.errors import TABLE, translate, translated
from sandboxkit_e2b.settings import E2BSettings

SECRET = "e2b_0123456789abcdef"


def made(kind: type[BaseException]) -> BaseException:
    """An instance, by whatever its constructor wants."""
    if kind is e2b.CommandExitException:
        return kind("", "", 3, "exit status 3")
    if kind is connectrpc.errors.ConnectError:
        return kind(Code.UNAVAILABLE, "went away")
    if kind is pyqwest.StreamError:
        return kind("reset", 8)
    if kind is json.JSONDecodeError:
        return kind("no JSON", "<html>", 0)
    return kind("went away")


def raised_by(*modules: ModuleType) -> set[type[BaseException]]:
    found = set()
    for module in modules:
        for _, value in inspect.getmembers(module, inspect.isclass):
            if issubclass(value, Exception) and value.__module__.split(".")[0] not in (
                "builtins",
                "typing",
            ):
                found.add(value)
    return found


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_every_row(kind: type[BaseException]) -> None:
    rule = TABLE[kind]
    with pytest.raises(rule.error) as caught, translated("run"):
        raise made(kind)
    error = caught.value
    assert type(error) is rule.error
    assert error.outcome == rule.outcome
    assert error.op == "run"
    assert error.provider == "e2b"
    assert isinstance(error.__cause__, kind)
    assert error.retryable == rule.retryable or rule.retryable is None


@pytest.mark.parametrize(
    "kind",
    sorted(
        raised_by(e2b, e2b.exceptions, httpx, httpcore, connectrpc.errors, pyqwest),
        key=lambda kind: f"{kind.__module__}.{kind.__name__}",
    ),
    ids=lambda kind: f"{kind.__module__}.{kind.__name__}",
)
def test_nothing_the_sdk_can_raise_is_missing(kind: type[BaseException]) -> None:
    assert any(parent in TABLE for parent in kind.__mro__[:-2]), kind


@pytest.mark.parametrize(
    ("status", "kind", "outcome"),
    [
        (400, errors.InvalidRequestError, "not_started"),
        (403, errors.AuthenticationError, "not_started"),
        (404, errors.NotFoundError, "not_started"),
        (500, errors.SandboxError, "unknown"),
        (501, errors.UnsupportedError, "not_started"),
        (502, errors.TransportError, "unknown"),
    ],
)
def test_the_status_decides_where_the_class_says_nothing(
    status: int, kind: type[errors.SandboxError], outcome: str
) -> None:
    error = translate(e2b.SandboxException("no", status_code=status))
    assert type(error) is kind
    assert error.outcome == outcome


def test_a_bare_exception_of_the_sdk_is_an_error_and_a_bug_stays_one() -> None:
    with pytest.raises(errors.SandboxError, match="Body of the request"), translated("list"):
        raise Exception("Body of the request is None")
    with pytest.raises(KeyError), translated("list"):
        raise KeyError("a bug of ours")
    with pytest.raises(asyncio.CancelledError), translated("list"):
        raise asyncio.CancelledError


def test_our_own_pass_untouched() -> None:
    original = errors.SandboxPausedError("it is paused")
    with pytest.raises(errors.SandboxPausedError) as caught, translated("run"):
        raise original
    assert caught.value is original


def test_no_secret_is_in_an_error_or_a_repr() -> None:
    settings = E2BSettings(api_key=SECRET, headers={"x-team": "team-secret"})
    account = Account(settings)
    for text in (repr(settings), str(settings)):
        assert SECRET not in text
        assert "team-secret" not in text
    with pytest.raises(errors.SandboxError) as caught, account.translated("create"):
        raise e2b.SandboxException(f"no such key {SECRET} for team-secret")
    assert SECRET not in str(caught.value) + repr(caught.value)
    assert "team-secret" not in str(caught.value)
    assert "***" in str(caught.value)


def test_a_missing_key_names_both_ways_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("E2B_API_KEY", raising=False)
    account = Account(E2BSettings())
    with pytest.raises(PermissionError) as caught:
        _ = account.sandboxes
    for word in ("E2B_API_KEY", "api_key", "https://e2b.dev", "[profiles.", "sandboxkit doctor"):
        assert word in str(caught.value)
    # And as the SDK itself says it, should its own check come first.
    with pytest.raises(errors.AuthenticationError, match="setting api_key"), translated("create"):
        raise e2b.AuthenticationException("API key is required, please visit the API Keys tab")
