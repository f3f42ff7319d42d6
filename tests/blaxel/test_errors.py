"""Each thing the SDK raises becomes the right error of ours."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import logging
import subprocess
import sys
from types import ModuleType
from typing import Any

import httpcore
import httpx
import pytest

from sandboxkit import errors
from sandboxkit_blaxel import sdk
from sandboxkit_blaxel.account import Account
from sandboxkit_blaxel.errors import BY_CODE, BY_STATUS, TABLE, translate, translated
from sandboxkit_blaxel.settings import BlaxelSettings

from blaxel.core import BlaxelError, ResponseError, SandboxAPIError  # isort: skip
from blaxel.core import SandboxCreationTimeoutError, SandboxDriveSetupError  # isort: skip
from blaxel.core.client import errors as control  # isort: skip
from blaxel.core.sandbox.client import errors as inside  # isort: skip

SECRET = "bl_0123456789abcdef"
MODULES = (
    "blaxel.core",
    "blaxel.core.errors",
    "blaxel.core.client.errors",
    "blaxel.core.sandbox.client.errors",
    "blaxel.core.authentication.types",
    "blaxel.core.sandbox.types",
    "blaxel.core.sandbox.default.sandbox",
    "blaxel.core.sandbox.drive_setup",
    "blaxel.core.snapshot.snapshot",
    "blaxel.core.volume.volume",
    "blaxel.core.drive.drive",
    "blaxel.core.secret.secret",
    "blaxel.core.application.application",
)


def made(kind: type[BaseException]) -> BaseException:
    """An instance, by whatever its constructor wants."""
    if kind is ResponseError:
        return ResponseError(httpx.Response(418, json={"error": "went away"}))
    if issubclass(kind, control.UnexpectedStatus | inside.UnexpectedStatus):
        return kind(418, b"{}")
    if kind is SandboxCreationTimeoutError:
        return SandboxCreationTimeoutError("sk-1", 5)
    if kind is SandboxDriveSetupError:
        return SandboxDriveSetupError.__new__(SandboxDriveSetupError, "went away")
    if kind is json.JSONDecodeError:
        return kind("no JSON", "<html>", 0)
    if kind is UnicodeDecodeError:
        return UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text")
    return kind("went away")


def raised_by(*modules: ModuleType) -> set[type[BaseException]]:
    found = set()
    for module in modules:
        for _, value in inspect.getmembers(module, inspect.isclass):
            if issubclass(value, Exception) and value.__module__.split(".")[0] != "builtins":
                found.add(value)
    return found


def named(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__name__}"


@pytest.mark.parametrize("kind", TABLE, ids=named)
def test_every_row(kind: type[BaseException]) -> None:
    rule = TABLE[kind]
    with pytest.raises(rule.error) as caught, translated("run"):
        raise made(kind)
    error = caught.value
    assert type(error) is rule.error
    assert error.outcome == rule.outcome
    assert error.op == "run"
    assert error.provider == "blaxel"
    assert isinstance(error.__cause__, kind)
    assert error.retryable == rule.retryable or rule.retryable is None


@pytest.mark.parametrize(
    "kind",
    sorted(raised_by(*map(importlib.import_module, MODULES), httpx, httpcore), key=named),
    ids=named,
)
def test_nothing_the_sdk_can_raise_is_missing(kind: type[BaseException]) -> None:
    assert any(parent in TABLE for parent in kind.__mro__[:-2]), kind


@pytest.mark.parametrize("status", BY_STATUS)
def test_the_status_decides_where_no_name_does(status: int) -> None:
    rule = BY_STATUS[status]
    for error in (
        SandboxAPIError("no", status_code=status),
        control.from_response(status, b"<html>no</html>"),
        ResponseError(httpx.Response(status, text="<html>no</html>")),
    ):
        became = translate(error)
        assert type(became) is rule.error, error
        assert became.outcome == rule.outcome


@pytest.mark.parametrize("code", BY_CODE)
def test_the_name_decides_first(code: str) -> None:
    error = translate(SandboxAPIError("no", status_code=400, code=code))
    assert type(error) is BY_CODE[code].error


# What the servers answer: the control plane's two shapes, the edge's, and a sandbox's own.
RECORDED: list[tuple[int, dict[str, Any], type[errors.SandboxError], str, str]] = [
    (
        409,
        {
            "code": "SANDBOX_ALREADY_EXISTS",
            "message": "Sandbox x already exists",
            "status_code": 409,
            "sandbox_name": "x",
            "step": "create",
        },
        errors.InvalidRequestError,
        "not_started",
        "Sandbox x already exists",
    ),
    (
        404,
        {"error": "Resource not found", "code": 404},
        errors.NotFoundError,
        "not_started",
        "Resource not found",
    ),
    (
        503,
        {
            "error": {
                "code": "WORKLOAD_UNAVAILABLE",
                "message": "the sandbox is waking up",
                "status": 503,
                "origin": "platform",
                "retryable": True,
                "dispatch_state": "not_dispatched",
            }
        },
        errors.ProviderUnavailableError,
        "not_started",
        "waking up",
    ),
    (
        504,
        {
            "error": {
                "code": "UPSTREAM_TIMEOUT",
                "message": "no answer",
                "status": 504,
                "dispatch_state": "dispatched_unknown",
            }
        },
        errors.TransportError,
        "unknown",
        "no answer",
    ),
    (
        404,
        {"error": {"code": "WORKLOAD_NOT_FOUND", "message": "no such sandbox", "status": 404}},
        errors.SandboxNotFoundError,
        "not_started",
        "no such sandbox",
    ),
    (
        409,
        {"error": "process is not running"},
        errors.InvalidRequestError,
        "not_started",
        "not run",
    ),
]


@pytest.mark.parametrize(("status", "body", "kind", "outcome", "said"), RECORDED)
def test_recorded_answers(
    status: int, body: dict[str, Any], kind: type[errors.SandboxError], outcome: str, said: str
) -> None:
    error = translate(ResponseError(httpx.Response(status, json=body)))
    assert type(error) is kind
    assert error.outcome == outcome
    assert said in str(error)


def test_when_to_come_again() -> None:
    response = httpx.Response(429, json={}, headers={"Retry-After": "7"})
    for error in (
        ResponseError(response),
        control.from_response(429, b"{}", response.headers, response=response),
    ):
        became = translate(error)
        assert isinstance(became, errors.RateLimitError)
        assert (became.retry_after, became.retryable) == (7.0, True)


def test_a_bare_exception_of_the_sdk_is_an_error_and_a_bug_stays_one() -> None:
    with pytest.raises(errors.SandboxError, match="Failed to execute"), translated("run"):
        raise Exception("Failed to execute process: b'...'")
    with pytest.raises(ZeroDivisionError), translated("list"):
        raise ZeroDivisionError("a bug of ours")
    with pytest.raises(asyncio.CancelledError), translated("list"):
        raise asyncio.CancelledError


def test_our_own_pass_untouched() -> None:
    original = errors.SandboxNotFoundError("it is gone")
    with pytest.raises(errors.SandboxNotFoundError) as caught, translated("run"):
        raise original
    assert caught.value is original


def test_no_secret_is_in_an_error_or_a_repr() -> None:
    settings = BlaxelSettings(
        api_key=SECRET, client_credentials=SECRET[::-1], headers={"x-team": "team-secret"}
    )
    account = Account(settings)
    for text in (repr(settings), str(settings)):
        assert SECRET not in text
        assert SECRET[::-1] not in text
        assert "team-secret" not in text
    with pytest.raises(errors.SandboxError) as caught, account.translated("create"):
        raise BlaxelError(f"no such key {SECRET} for team-secret")
    assert SECRET not in str(caught.value) + repr(caught.value)
    assert "team-secret" not in str(caught.value)
    assert "***" in str(caught.value)


def test_a_missing_key_or_workspace_names_both_ways_to_give_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("BL_API_KEY", "BL_WORKSPACE", "BL_CLIENT_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    for settings in (BlaxelSettings(), BlaxelSettings(api_key=SECRET)):
        with pytest.raises(PermissionError) as caught:
            _ = Account(settings).control
        for word in ("BL_API_KEY", "BL_WORKSPACE", "api_key", "[profiles.", "sandboxkit doctor"):
            assert word in str(caught.value)


def test_two_accounts_in_one_process_do_not_disturb_each_other_or_the_sdk() -> None:
    seen: list[tuple[str, str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        headers = request.headers
        seen.append(
            (request.url.host, headers["x-blaxel-authorization"], headers["x-blaxel-workspace"])
        )
        return httpx.Response(200, json={"data": [], "meta": {}})

    async def asked() -> None:
        for number in (1, 2, 1):
            account = Account(
                BlaxelSettings(
                    api_key=f"key-{number}",
                    workspace=f"space-{number}",
                    api_url=f"https://one-{number}.invalid/v0",
                )
            )
            account.control._httpx_args["transport"] = httpx.MockTransport(answer)
            asking = sdk.control.list_sandboxes.asyncio(client=account.control)
            await account.call("list", asking)
            await account.aclose()

    theirs = importlib.import_module("blaxel.core.client.client").client
    before = (theirs._base_url, dict(theirs._headers), theirs._auth)
    asyncio.run(asked())
    assert seen == [
        (f"one-{number}.invalid", f"Bearer key-{number}", f"space-{number}") for number in (1, 2, 1)
    ]
    assert (theirs._base_url, dict(theirs._headers), theirs._auth) == before


def test_client_credentials_are_exchanged_once_and_are_in_no_message() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path == "/v0/oauth/token":
            assert request.headers["authorization"] == "Basic aWQ6c2VjcmV0"
            return httpx.Response(200, json={"access_token": "token-one", "expires_in": 7200})
        assert request.headers["x-blaxel-authorization"] == "Bearer token-one"
        return httpx.Response(403, json={"error": "no such token token-one", "code": 403})

    async def tried() -> None:
        account = Account(
            BlaxelSettings(
                api_key=None,
                client_credentials="aWQ6c2VjcmV0",
                workspace="main",
                api_url="https://one.invalid/v0",
            )
        )
        account.control._httpx_args["transport"] = httpx.MockTransport(answer)
        for _ in range(2):
            with pytest.raises(errors.AuthenticationError) as caught:
                await account.call(
                    "list", sdk.control.list_sandboxes.asyncio(client=account.control)
                )
            assert "token-one" not in str(caught.value)
        await account.aclose()

    asyncio.run(tried())
    assert asked == ["/v0/oauth/token", "/v0/sandboxes", "/v0/sandboxes"]


def test_the_sdks_import_leaves_the_process_as_it_was() -> None:
    program = """
import logging, os
logging.getLogger("httpx").setLevel(logging.INFO)
before = dict(os.environ)
import sandboxkit_blaxel.provider
root = logging.getLogger()
assert not root.handlers and root.level == logging.WARNING, (root.handlers, root.level)
assert logging.getLogger("httpx").level == logging.INFO
assert dict(os.environ) == before
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)
    assert logging.getLogger("httpx").level != logging.CRITICAL
