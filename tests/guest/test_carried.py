"""A guest that a command of a sandbox carries in: real sandboxes, which know nothing of it."""

from __future__ import annotations

import asyncio
import codecs
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from sandboxkit import AsyncSandbox
from sandboxkit.errors import (
    InvalidRequestError,
    ProtocolError,
    ProviderUnavailableError,
    TransportError,
)
from sandboxkit.guest.carried import Carrier, Orders, command, join
from sandboxkit.guest.carried import transport as carried_transport
from sandboxkit.guest.carried.messages import DATA, MAX_LINE, lines, message, unpacked
from sandboxkit.guest.client import GuestClient
from sandboxkit.guest.connection import GuestConnection
from sandboxkit.guest.process import GuestProcess
from sandboxkit.models import OutputChunk
from sandboxkit.provider import Exited, StartRequest

T = TypeVar("T")


class LocalCommand(Carrier):
    """A command in a sandbox of the local provider's; like some vendors it takes bytes for text."""

    def __init__(self, process) -> None:
        self.process = process
        self.errors = ""
        self.stopped = False

    @classmethod
    async def start(cls, sandbox: AsyncSandbox, text: str | None = None) -> LocalCommand:
        words = ["bash", "-l", "-c", command() if text is None else text]
        return cls(await sandbox.start(words, cwd="/", stdin=True))

    async def send(self, data: bytes) -> None:
        await self.process.write(data)

    async def output(self) -> AsyncIterator[bytes]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        async for chunk in self.process:
            if chunk.stream == "stdout":
                yield decoder.decode(chunk.data).encode()
            else:
                self.errors += chunk.data.decode("utf-8", "replace")

    async def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            await self.process.kill()

    @property
    def complaint(self) -> str:
        return self.errors


def within(body: Callable[[AsyncSandbox], Awaitable[None]], **options: object) -> None:
    async def main() -> None:
        async with AsyncSandbox.create("local", **options) as sandbox:
            await body(sandbox)

    asyncio.run(main())


def client_of(sandbox: AsyncSandbox, orders: Orders | None = None) -> GuestClient:
    async def dial(factory):
        return await join(await LocalCommand.start(sandbox), factory, orders or Orders())

    return GuestClient(dial)


async def output_of(client: GuestClient, text: str, **more: object) -> tuple[bytes, Exited | None]:
    request = StartRequest(sandbox_id="", command=text, **more)
    process = await GuestProcess.start(client, request)
    found, exited = b"", None
    async for event in process.events():
        if isinstance(event, OutputChunk):
            found += event.data
        elif isinstance(event, Exited):
            exited = event
    return found, exited


def test_bytes_statuses_and_signals_come_through() -> None:
    async def body(sandbox: AsyncSandbox) -> None:
        client = client_of(sandbox)
        every = "".join(f"\\{number:03o}" for number in range(256))
        assert await output_of(client, f"printf '{every}'; exit 7") == (
            bytes(range(256)),
            Exited(7),
        )
        assert await output_of(client, "kill -TERM $$") == (b"", Exited(None, 15))
        assert await output_of(client, "exit 143") == (b"", Exited(143))
        await client.aclose()

    within(body)


def test_several_clients_share_one_guest_and_it_outlives_them() -> None:
    async def body(sandbox: AsyncSandbox) -> None:
        first, second = client_of(sandbox), client_of(sandbox)
        await asyncio.gather(first.hello(), second.hello())  # both find none, one makes it
        request = StartRequest(sandbox_id="", command="sleep 60", bound=False)
        process = await GuestProcess.start(first, request)
        await process.detach()
        await asyncio.gather(first.aclose(), second.aclose())
        third = client_of(sandbox)
        told = await third.call("processes")
        assert [one["pid"] for one in told["processes"]] == [process.pid]
        guests = await sandbox.run("pgrep -fc '[/]agent --orders'")
        assert guests.stdout == "1\n"
        await third.aclose()

    within(body)


def test_orders_say_where_and_as_whom() -> None:
    async def body(sandbox: AsyncSandbox) -> None:
        orders = Orders(workdir="/tmp/deep/down", shell="bash -lc", env={"COLOUR": "red"})
        client = client_of(sandbox, orders)
        hello = await client.hello()
        assert hello["workdir"] == "/tmp/deep/down"
        assert hello["shell"] == "bash -lc"
        said, _ = await output_of(client, "pwd; echo $COLOUR $GIVEN; whoami")
        assert said == b"/tmp/deep/down\nred yes\nuser\n"
        await client.aclose()

    within(body, env={"GIVEN": "yes"})


def test_orders_that_cannot_be_carried_out_are_refused() -> None:
    async def body(sandbox: AsyncSandbox) -> None:
        with pytest.raises(InvalidRequestError, match="commands run as user"):
            await client_of(sandbox, Orders(user="nobody")).hello()

    within(body)


def test_what_a_login_shell_prints_is_passed_over() -> None:
    async def body(sandbox: AsyncSandbox) -> None:
        await sandbox.files.write(".bash_profile", "echo welcome; echo; printf unfinished\n")
        client = client_of(sandbox)
        assert (await client.hello())["user"] == "user"
        await client.aclose()

    within(body)


def test_a_template_without_python_is_told_apart() -> None:
    async def body(sandbox: AsyncSandbox) -> None:
        carrier = await LocalCommand.start(sandbox, "PATH=/nowhere; " + command())
        with pytest.raises(ProviderUnavailableError, match="no python3") as caught:
            await join(carrier, GuestConnection, Orders())
        assert "apt-get install python3" in str(caught.value)
        assert carrier.stopped

    within(body)


def test_a_client_that_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor goes on running the command; only that nothing comes any more tells."""

    async def body(sandbox: AsyncSandbox) -> None:
        monkeypatch.setattr(carried_transport, "BEAT", 3600.0)
        dialled = []

        async def dial_once(factory):
            if dialled:
                raise TransportError("gone", outcome="not_started")
            dialled.append(await LocalCommand.start(sandbox))
            return await join(dialled[0], factory, Orders())

        client = GuestClient(dial_once)
        await GuestProcess.start(client, StartRequest(sandbox_id="", command="exec sleep 61"))
        # A patience of 2.4 s, then the guest's 5 s, then nothing of it is left.
        async with asyncio.timeout(20):
            while (await sandbox.run("pgrep -fx 'sleep 61'")).ok:
                await asyncio.sleep(0.2)
        await client.aclose()

    within(body)


def test_beats_keep_what_is_quiet_alive() -> None:
    async def body(sandbox: AsyncSandbox) -> None:
        client = client_of(sandbox)
        said, exited = await output_of(client, "sleep 4; echo still here")
        assert (said, exited) == (b"still here\n", Exited(0))
        await client.aclose()

    within(body)


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for one in given:
        yield one


def test_lines_are_put_together_and_bounded() -> None:
    async def main() -> None:
        found = [line async for line in lines(pieces(b"a", b"b\nc\n\nd", b"e"))]
        assert found == [b"ab", b"c", b""]
        with pytest.raises(ProtocolError, match="too long"):
            _ = [line async for line in lines(pieces(b"x" * MAX_LINE, b"x"))]

    asyncio.run(main())


@pytest.mark.parametrize("line", [b"no base64!", b"YQ", b"Y\xc3\xa9==", b"YQ==YQ=="])
def test_what_is_no_base64_ends_the_connection(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpacked(line)


def test_a_message_says_how_long_to_wait_for_the_next() -> None:
    assert message(DATA, b"abc", 2.4) == struct.pack("!BIH", 2, 3, 24) + b"abc"


class Saying(Carrier):
    """Answers with given lines, whatever it is sent."""

    def __init__(self, *said: bytes) -> None:
        self.said = said
        self.sent: list[bytes] = []

    async def send(self, data: bytes) -> None:
        self.sent.append(data)

    async def output(self) -> AsyncIterator[bytes]:
        for one in self.said:
            yield one
        await asyncio.get_running_loop().create_future()

    async def stop(self) -> None:
        return

    @property
    def complaint(self) -> str:
        return ""


def test_the_archive_is_sent_once_and_only_when_needed() -> None:
    async def main() -> None:
        for fresh, said in ((True, (b"sandboxkit need\n",)), (False, (b"sandboxkit need\n",))):
            carrier = Saying(*said, b"sandboxkit ready\n")
            transport, _ = await join(carrier, asyncio.Protocol, Orders(user="ü"), fresh=fresh)
            assert len(carrier.sent) == 1
            (size,) = struct.unpack_from("!I", carrier.sent[0], 7)
            assert json.loads(carrier.sent[0][11 : 11 + size])["user"] == "ü"
            transport.abort()
        carrier = Saying(b"sandboxkit ready\n")
        transport, _ = await join(carrier, asyncio.Protocol, Orders())
        assert carrier.sent == []
        transport.abort()
        await asyncio.sleep(0)

    asyncio.run(main())


def test_a_guest_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandboxkit.guest.carried.joining.PATIENCE", 0.1)
    with pytest.raises(TransportError, match="did not begin") as caught:
        asyncio.run(join(Saying(), asyncio.Protocol, Orders()))
    assert caught.value.outcome == "not_started"
