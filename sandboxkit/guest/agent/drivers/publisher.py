"""Sends what a cell shows, in the order in which it came about."""

from __future__ import annotations

import _thread
import os
from collections import deque
from typing import Any, Deque, Dict

from .channel import Channel
from .interrupts import Interrupts
from .mime import result_events
from .streams import Streams

__all__ = ["Publisher"]

Event = Dict[str, Any]


class Publisher:
    """The way out for results. Any thread may show something; a forked child shows nothing.

    Args:
        channel: to the agent.
        streams: flushed first, so that what was printed before a result arrives before it.
        interrupts: kept from cutting a message in two.
    """

    def __init__(self, channel: Channel, streams: Streams, interrupts: Interrupts) -> None:
        self._channel = channel
        self._streams = streams
        self._interrupts = interrupts
        self._pid = os.getpid()
        self._count = 0
        self._lock = _thread.RLock()
        self._waiting: Deque[Event] = deque()
        self._sending = False

    @property
    def in_child(self) -> bool:
        """Whether a cell has forked, and this is the child."""
        return os.getpid() != self._pid

    def show(self, bundle: Dict[str, Any], main: bool = False) -> None:
        """Send a result; `main` is the value of the cell's last expression.

        Raises:
            OSError: the agent is gone.
        """
        if self.in_child or not bundle:
            return
        with self._interrupts.held():
            self._streams.flush_ours()
            self._count += 1
            for event in result_events(bundle, main, self._count):
                # The cell's last value is followed at once by its end: the agent is woken once.
                self.send(event, hold=main and event["event"] == "result")

    def send(self, event: Event, hold: bool = False) -> None:
        """Send one message, whole; to `hold` it is to send it with the next one.

        Raises:
            OSError: the agent is gone.
        """
        self._waiting.append(event)
        if hold:
            return
        with self._lock:
            if self._sending:
                return  # in a signal handler, amid another message, after which this one is sent
            self._sending = True
            try:
                while self._waiting:
                    together = [self._waiting.popleft() for _ in range(len(self._waiting))]
                    self._channel.send(*together)
            finally:
                self._sending = False
