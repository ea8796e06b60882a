"""Child processes that a handler tracks, and transports that are not Twisted's.

What belongs here: what is not returned. What does not: `cancelweb.processes`, which has
`real.system.test_process_groups`.
"""

from types import SimpleNamespace
from typing import Any

from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET
from zope.interface import alsoProvides

from cancelweb import Ended, scope_of
from cancelweb._kinds.twisted_kinds import ProcessCanceller

from ._spawned import SLEEP, STUBBORN, ProcessTestCase


class TrackedTests(ProcessTestCase):
    """Processes that are tracked beside the response."""

    async def test_term(self) -> None:
        """A tracked process gets TERM when the response is finished."""

        def handler(request: Any) -> int:
            self.request = request
            scope_of(request).track(self.start(SLEEP))
            return NOT_DONE_YET

        connection = self.visit(handler)
        await self.child.begun
        self.request.finish()
        self.assertEqual(connection.response.code, 200)
        error = await self.child.ended
        self.assertEqual(error.signal, 15)
        self.assert_ended(Ended.COMPLETED)
        self.assertEqual(self.outcomes[0].leftovers, 1)

    async def test_outlives_the_grace(self) -> None:
        """A process that outlives a short `survivor_after` is a survivor, and still gets KILL."""
        connection = self.visit(lambda _: self.start(STUBBORN), survivor_after=1)
        await self.child.begun
        connection.disconnect()
        self.clock.advance(1)
        self.assert_ended(Ended.SURVIVED)
        self.clock.advance(2)
        error = await self.child.ended
        self.assertEqual(error.signal, 9)


class Foreign:
    """A process transport of another make, with no more than the interface says."""

    pid: int | None = 1

    def __init__(self) -> None:
        self.signals: list[str] = []
        alsoProvides(self, IProcessTransport)

    def signalProcess(self, signal: str) -> None:
        self.signals.append(signal)


class ForeignTests(ProcessTestCase):
    """Process transports that do not show their protocol."""

    def test_signals(self) -> None:
        """A foreign process transport gets TERM and KILL, and is a survivor."""
        process = Foreign()
        self.visit(lambda _: process).disconnect()
        self.clock.advance(3)
        self.assertEqual(process.signals, ["TERM", "KILL"])
        self.clock.advance(2)
        self.assert_ended(Ended.SURVIVED)
        self.clock.advance(3)
        self.assertEqual(process.signals, ["TERM", "KILL"])

    def test_over(self) -> None:
        """A foreign process transport without a pid gets no signal, and is let go."""
        process = Foreign()
        process.pid = None
        self.visit(lambda _: process).disconnect()
        self.assertEqual(process.signals, [])
        self.assert_ended(Ended.LET_GO)

    def test_answered(self) -> None:
        """A foreign process transport is no longer waited for once the response is finished."""
        process = Foreign()

        def handler(request: Any) -> object:
            self.request = request
            return process

        self.visit(handler)
        self.request.finish()
        self.assert_ended(Ended.COMPLETED)
        self.assertEqual(process.signals, [])


class ResponseOverTests(SynchronousTestCase):
    """A child process whose protocol reports its end."""

    def test_the_response_is_over(self) -> None:
        """A child process is still waited for when the response is over."""
        told: list[object] = []
        process: Any = SimpleNamespace(pid=1, proto=ProcessProtocol())
        canceller = ProcessCanceller(process)
        canceller.watch(told.append)
        canceller.response_over()
        self.assertEqual(told, [])
