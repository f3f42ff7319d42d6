"""Each thing the SDK raises becomes the right error of ours."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import aiohttp
import daytona
import daytona.common.errors as sdk
import daytona_api_client.exceptions as sync_api
import daytona_api_client_async.exceptions as api
import daytona_toolbox_api_client.exceptions as sync_toolbox
import daytona_toolbox_api_client_async.exceptions as toolbox
import httpx
import pydantic
import pytest

from sandboxkit import errors
from sandboxkit_daytona.account import Account
from sandboxkit_daytona.errors import TABLE, translate, translated
from sandboxkit_daytona.settings import DaytonaSettings

SECRET = "dtn_0123456789abcdef"


def made(kind: type[BaseException]) -> BaseException:
    """An instance, by whatever its constructor wants."""
    if kind is pydantic.ValidationError:
        return pydantic.ValidationError.from_exception_data("Sandbox", [])
    if kind is aiohttp.WebSocketError:
        return kind(1002, "went away")
    if kind is json.JSONDecodeError:
        return kind("no JSON", "<html>", 0)
    if issubclass(kind, aiohttp.ClientConnectorError):
        key: Any = aiohttp.client_reqrep.ConnectionKey("h", 1, False, True, None, None, None)
        return kind(key, OSError(111, "refused"))
    return kind("went away")


def raised_by(*modules: ModuleType) -> set[type[BaseException]]:
    found = set()
    for module in modules:
        for _, value in inspect.getmembers(module, inspect.isclass):
            if issubclass(value, Exception) and value.__module__.split(".")[0] != "builtins":
                found.add(value)
    return found


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_row(kind: type[BaseException]) -> None:
    rule = TABLE[kind]
    with pytest.raises(rule.error) as caught, translated("run"):
        raise made(kind)
    error = caught.value
    assert type(error) is rule.error
    assert error.outcome == rule.outcome
    assert error.op == "run"
    assert error.provider == "daytona"
    assert isinstance(error.__cause__, kind)
    assert error.retryable == rule.retryable or rule.retryable is None


@pytest.mark.parametrize(
    "kind",
    sorted(
        raised_by(daytona, sdk, api, sync_api, toolbox, sync_toolbox, httpx, aiohttp),
        key=lambda kind: f"{kind.__module__}.{kind.__name__}",
    ),
    ids=lambda kind: f"{kind.__module__}.{kind.__name__}",
)
def test_nothing_the_sdk_can_raise_is_missing(kind: type[BaseException]) -> None:
    assert any(parent in TABLE for parent in kind.__mro__[:-2]), kind


# -- what the servers say, through the SDK ---------------------------------------------------------

BY_CLASS = {kind: rule for kind, rule in TABLE.items() if issubclass(kind, sdk.DaytonaError)}


def told(status: int, code: str, source: str) -> bytes:
    """A body as Daytona's services write them."""
    return json.dumps(
        {
            "statusCode": status,
            "message": f"it is {code.lower()}",
            "code": code,
            "source": source,
            "path": "/sandbox/x",
            "timestamp": "2026-11-25T10:00:00.000Z",
        }
    ).encode()


BODIES: dict[str, tuple[int, str, bytes, type[sdk.DaytonaError]]] = {
    **{
        f"{status} with words": (
            status,
            "application/json",
            told(status, "SOMETHING", sdk.SOURCE_API),
            kind,
        )
        for status, kind in sdk.STATUS_CODE_TO_ERROR.items()
    },
    **{
        code: (
            next(s for s, k in sdk.STATUS_CODE_TO_ERROR.items() if issubclass(kind, k)),
            "application/json",
            told(400, code, source),
            kind,
        )
        for (source, code), kind in sdk.CODE_TO_ERROR.items()
    },
    "401 of an older kind": (
        401,
        "application/json",
        b'{"message":"Unauthorized","error":"Unauthorized","statusCode":401}',
        sdk.DaytonaAuthenticationError,
    ),
    "502 of a proxy": (
        502,
        "text/html",
        b"<html><head><title>502 Bad Gateway</title></head></html>",
        sdk.DaytonaBadGatewayError,
    ),
    "503 without a body": (503, "text/plain", b"", sdk.DaytonaServiceUnavailableError),
    "501 without a class": (501, "application/json", told(501, "X", ""), sdk.DaytonaError),
    "200 that is no JSON": (200, "application/json", b"<html>", sdk.DaytonaError),
    "200 that is no sandbox": (200, "application/json", b'{"id":"x"}', sdk.DaytonaError),
}
BECOMES: dict[str, type[errors.SandboxError]] = {
    "501 without a class": errors.UnsupportedError,
    "200 that is no JSON": errors.ProtocolError,
    "200 that is no sandbox": errors.ProtocolError,
}


class Says(BaseHTTPRequestHandler):
    """Answers with what the path names."""

    def do_GET(self) -> None:
        if self.path.startswith("/api/socket.io/"):
            self.send_error(404)
            return
        status, kind, body, _ = BODIES[unquote(self.path.rpartition("/")[2])]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        return


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Says) as serving:
        thread = Thread(target=serving.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}/api"
        serving.shutdown()
        thread.join()


def test_every_body_that_a_server_answers_with(server: str) -> None:
    async def ask() -> None:
        account = Account(DaytonaSettings(api_key=SECRET, api_url=server))
        try:
            for name, (status, _, _, raised) in BODIES.items():
                with pytest.raises(errors.SandboxError) as caught:
                    await account.call("connect", account.client.get(name))
                error = caught.value
                assert type(error.__cause__) is raised, name
                rule = TABLE[raised]
                assert type(error) is BECOMES.get(name, rule.error), (name, error)
                if name not in BECOMES:
                    assert error.outcome == rule.outcome, name
                assert (error.retry_after == 7) == (status == 429), name
                assert SECRET not in str(error) + repr(error) + repr(error.__cause__)
        finally:
            await account.aclose()

    asyncio.run(ask())


def test_a_server_that_is_not_there_was_sent_nothing() -> None:
    async def ask() -> None:
        account = Account(DaytonaSettings(api_key=SECRET, api_url="http://127.0.0.1:9/api"))
        try:
            with pytest.raises(errors.TransportError) as caught:
                await account.call("create", account.client.create())
            assert caught.value.outcome == "not_started"
            assert caught.value.retryable
        finally:
            await account.aclose()

    asyncio.run(ask())


# -- what comes through unwrapped ------------------------------------------------------------------


@pytest.mark.parametrize("module", [api, sync_api, toolbox, sync_toolbox])
def test_generated_exceptions_that_leak_keep_their_meaning(module: ModuleType) -> None:
    body = '{"statusCode":408,"message":"command execution timeout","code":"X"}'
    leaked = module.ApiException(status=408, reason="Request Timeout", body=body)
    leaked.headers = {"Set-Cookie": SECRET}
    error = translate(leaked)
    assert type(error) is errors.TransportError
    assert error.message == "Daytona: command execution timeout"
    missing = translate(module.NotFoundException(status=404, reason="Not Found"))
    assert type(missing) is errors.NotFoundError
    assert missing.message == "Daytona: 404 Not Found"


def test_a_bug_of_ours_stays_one() -> None:
    with pytest.raises(KeyError), translated("list"):
        raise KeyError("a bug of ours")
    with pytest.raises(asyncio.CancelledError), translated("list"):
        raise asyncio.CancelledError
    original = errors.SandboxPausedError("it is paused")
    with pytest.raises(errors.SandboxPausedError) as caught, translated("run"):
        raise original
    assert caught.value is original


def test_no_secret_is_in_an_error_or_a_repr() -> None:
    settings = DaytonaSettings(api_key=SECRET, jwt_token="jwt-of-somebody")
    account = Account(settings)
    assert SECRET not in repr(settings) + str(settings)
    assert "jwt-of-somebody" not in repr(settings) + str(settings)
    with pytest.raises(errors.SandboxError) as caught, account.translated("create"):
        raise sdk.DaytonaError(f"no such key {SECRET} for jwt-of-somebody")
    assert SECRET not in str(caught.value) + repr(caught.value)
    assert "jwt-of-somebody" not in str(caught.value)
    assert "***" in str(caught.value)


async def client_of(account: Account) -> object:
    return account.client


def test_a_missing_key_names_both_ways_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAYTONA_API_KEY", "DAYTONA_JWT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PermissionError) as caught:
        asyncio.run(client_of(Account(DaytonaSettings())))
    for word in ("DAYTONA_API_KEY", "api_key", "app.daytona.io", "[profiles.", "doctor daytona"):
        assert word in str(caught.value)


def test_no_key_is_taken_from_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / ".env").write_text("DAYTONA_API_KEY=dtn_somebody_elses\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAYTONA_API_KEY", raising=False)
    with pytest.raises(errors.AuthenticationError):
        asyncio.run(client_of(Account(DaytonaSettings())))
