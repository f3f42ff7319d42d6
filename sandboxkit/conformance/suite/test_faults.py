"""What the world does to a provider, and what its users hear of it: the right error, no leftovers.

The faults are injected around the provider under test, where its own would be; the core must turn
each into the error, the outcome and the clean-up that the contract promises.
"""

from __future__ import annotations

import time

import pytest

from sandboxkit import (
    ExecLostError,
    RateLimitError,
    Sandbox,
    SandboxError,
    SandboxNotFoundError,
    TransportError,
)
from sandboxkit.testing.faults import BrokenList, Delivery, Lost, Refused, injected


def live(target) -> list[str]:
    return [info.id for info in Sandbox.list(target.profile, session=target.session)]


def limited(**more: object) -> RateLimitError:
    return RateLimitError("too many", outcome="not_started", retryable=True, **more)


def test_fault_a_refused_create_is_tried_again(target) -> None:
    fault = Refused("create", limited(), times=2)
    with injected(fault), target.create() as sandbox:
        assert live(target) == [sandbox.id]
    assert fault.seen == 3


def test_fault_retry_after_is_waited_for(target) -> None:
    began = time.monotonic()
    with injected(Refused("create", limited(retry_after=0.6))), target.create():
        assert time.monotonic() - began >= 0.6


def test_fault_a_long_retry_after_is_told(target) -> None:
    fault = Refused("create", limited(retry_after=3600.0), times=None)
    began = time.monotonic()
    with injected(fault), pytest.raises(RateLimitError) as caught:
        target.create()
    assert caught.value.retry_after == 3600
    assert caught.value.outcome == "not_started"
    assert (caught.value.op, caught.value.provider) == ("create", _provider(target))
    assert fault.seen == 1
    assert time.monotonic() - began < 10
    assert live(target) == []


def test_fault_a_lost_answer_makes_one_sandbox(target) -> None:
    lost = TransportError("the answer was lost", retryable=True)
    with injected(Lost("create", lost)), target.create() as sandbox:
        assert live(target) == [sandbox.id]


def test_fault_an_answer_that_never_comes_leaves_nothing(target) -> None:
    lost = TransportError("the answer was lost", retryable=False)
    with injected(Lost("create", lost, times=None)), pytest.raises(TransportError) as caught:
        target.create()
    assert caught.value.outcome == "unknown"
    assert live(target) == []


def test_fault_a_start_that_may_have_happened_is_not_repeated(target) -> None:
    fault = Lost("start", TransportError("the answer was lost", retryable=True), times=None)
    with injected(fault), target.create() as sandbox:
        with pytest.raises(SandboxError):
            sandbox.run("echo x >> ran")
        assert fault.seen == 1


@pytest.mark.needs("commands")
def test_fault_a_broken_stream_is_a_loss_not_a_result(target) -> None:
    broken = ExecLostError("the stream broke", cause="transport")
    with injected(Delivery("cut", broken)), target.create() as sandbox:
        began = time.monotonic()
        with pytest.raises(ExecLostError) as caught:
            sandbox.run("echo partial; sleep 300")
        assert time.monotonic() - began < 5
        assert (caught.value.cause, caught.value.outcome) == ("transport", "unknown")
        assert caught.value.partial.stdout == "partial\n"


@pytest.mark.needs("commands")
def test_fault_an_end_without_an_exit_is_a_loss_not_a_result(target) -> None:
    with injected(Delivery("unended")), target.create() as sandbox:
        with pytest.raises(ExecLostError) as caught:
            sandbox.run("echo whole")
        assert caught.value.outcome == "unknown"
        assert caught.value.partial.stdout == "whole\n"


@pytest.mark.needs("commands")
def test_fault_characters_split_over_chunks_are_whole(target) -> None:
    pieces: list[str] = []
    with injected(Delivery("split")), target.create() as sandbox:
        result = sandbox.run("printf 'aü😀ß'; exit 3", on_stdout=pieces.append)
        assert result.stdout == "".join(pieces) == "aü😀ß"
        assert result.exit_code == 3


@pytest.mark.needs("commands")
def test_fault_a_slow_drain_does_not_hold_the_call(target) -> None:
    with injected(Delivery("never closed")), target.create() as sandbox:
        began = time.monotonic()
        result = sandbox.run("echo done")
        assert (result.stdout, result.exit_code) == ("done\n", 0)
        assert time.monotonic() - began < 3


@pytest.mark.needs("commands")
def test_fault_what_comes_twice_counts_once(target) -> None:
    pieces: list[str] = []
    with injected(Delivery("duplicate")), target.create() as sandbox:
        result = sandbox.run(
            "for i in 1 2 3; do echo $i; sleep 0.05; done", on_stdout=pieces.append
        )
        assert result.stdout == "".join(pieces) == "1\n2\n3\n"
        assert result.stdout_total == 6
        process = sandbox.start("echo one; sleep 0.05; echo two")
        assert b"".join(chunk.data for chunk in process) == b"one\ntwo\n"


def test_fault_an_expired_sandbox_says_so(target) -> None:
    gone = SandboxNotFoundError("it has ended", cause="expired")
    with target.create() as made, injected(Refused("connect", gone, times=None)):
        with pytest.raises(SandboxNotFoundError) as caught:
            Sandbox.connect(made.address)
        assert caught.value.cause == "expired"
        assert caught.value.sandbox_id == made.id


def test_fault_a_list_that_breaks_is_not_a_short_list(target) -> None:
    with target.create(), target.create():
        assert len(live(target)) == 2
        broken = TransportError("the next page cannot be had", outcome="not_started")
        with injected(BrokenList(1, broken)), pytest.raises(TransportError):
            live(target)


def test_fault_a_refused_kill_is_told_and_hides_nothing(target) -> None:
    refused = SandboxError("you may not", outcome="not_started", retryable=False)
    with injected(Refused("kill", refused, times=None)):
        with pytest.raises(SandboxError, match="you may not"):
            target.create().kill()
        with pytest.raises(ZeroDivisionError), target.create():
            _ = 1 / 0
    left = live(target)
    assert len(left) == 2
    for identifier in left:
        with Sandbox.connect(f"{_provider(target)}:{identifier}") as sandbox:
            assert sandbox.kill()


def _provider(target) -> str:
    from sandboxkit.resolve import target as resolved

    return resolved(target.profile).provider
