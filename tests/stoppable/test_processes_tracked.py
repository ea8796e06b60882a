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
    """A process that is tracked beside the response."""

    async def test_term(self) -> None:
        """It gets TERM when the response is finished."""

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
        """One that not even KILL ends in time is a survivor; a short `survivor_after` says so."""
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
    """A process transport that does not show its protocol."""

    def test_signals(self) -> None:
        """It gets TERM and KILL; nobody can tell when it ends: it is a survivor."""
        process = Foreign()
        self.visit(lambda _: process).disconnect()
        self.clock.advance(3)
        self.assertEqual(process.signals, ["TERM", "KILL"])
        self.clock.advance(2)
        self.assert_ended(Ended.SURVIVED)

    def test_over(self) -> None:
        """One that has no pid any more is over."""
        process = Foreign()
        process.pid = None
        self.visit(lambda _: process).disconnect()
        self.assertEqual(process.signals, [])
        self.assert_ended(Ended.LET_GO)

    def test_answered(self) -> None:
        """Once the response is finished it is no longer waited for."""
        process = Foreign()

        def handler(request: Any) -> object:
            self.request = request
            return process

        self.visit(handler)
        self.request.finish()
        self.assert_ended(Ended.COMPLETED)
        self.assertEqual(process.signals, [])


class ResponseOverTests(SynchronousTestCase):
    """A child process whose protocol tells of its end."""

    def test_the_response_is_over(self) -> None:
        """A child process is still waited for when the response is over."""
        told: list[object] = []
        process: Any = SimpleNamespace(pid=1, proto=ProcessProtocol())
        canceller = ProcessCanceller(process)
        canceller.watch(told.append)
        canceller.response_over()
        self.assertEqual(told, [])
