"""Handlers that take their time, for the tests of time limits.

What belongs here: what these tests share. What does not: the tests.
"""

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.server import Request

from cancelweb.testing import Connection

from .._pages import Handler
from .._visits import VisitTestCase
from ..http._streams import TURN, TurningClock


class LimitsTestCase(VisitTestCase):
    """A test of handlers that take their time."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = TurningClock()
        self.work: Deferred[bytes] = Deferred(lambda _: None)
        self.request: Any = None

    def handler(self, request: Any) -> object:
        """Wait for what never comes."""
        self.request = request
        return self.work

    def writing(self, *seconds: float) -> Handler:
        """A handler that writes after each of these waits, and then waits for what never comes."""

        async def write(request: Request) -> bytes:
            for each in seconds:
                await deferLater(self.clock, each)
                request.write(b".")
            return await self.work

        return write

    def slow_stream(self, _: Request) -> AsyncIterator[bytes]:
        """A chunk every second, without end."""

        async def chunks() -> AsyncIterator[bytes]:
            while True:
                yield b"."
                await deferLater(self.clock, 1)

        return chunks()

    def step(self, seconds: int) -> None:
        """Let time pass, an eighth of a second at a time."""
        self.clock.pump([0.125] * (8 * seconds))

    def cut_at(self, connection: Connection, most: int = 100) -> float:
        """Let time pass until the connection is aborted and the work has ended; returns when."""
        while not connection.is_aborted and self.clock.seconds() < most:
            self.clock.advance(0.125)
        seconds = self.clock.seconds()
        self.clock.advance(TURN)
        return seconds
