"""Child processes: real ones, stopped when their client leaves.

What belongs here: `IProcessTransport`, returned and tracked, with processes of the system. The
clients are in memory, and the clock of the grace period is the test's. What does not: other
kinds of work.
"""

import sys
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.server import NOT_DONE_YET
from zope.interface import alsoProvides

from cancelweb import Ended, Outcome, cancel_on_disconnect, current_scope, scope_of

from ._inmemory import Client
from ._pages import PAGE, Handler, Page

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

SLEEP = "echo begun; exec sleep 60"
STUBBORN = "trap '' TERM; echo begun; while :; do sleep 0.05; done"


class Child(ProcessProtocol):
    """A shell that tells when it has begun, and when it has ended.

    Args:
        request: Answered with the child's output when it ends, if it is given.
    """

    def __init__(self, request: Any = None) -> None:
        self.begun: Deferred[None] = Deferred()
        self.ended: Deferred[Any] = Deferred()
        self.output = b""
        self.request = request

    def outReceived(self, data: bytes) -> None:
        if not self.output:
            self.begun.callback(None)
        self.output += data

    def processEnded(self, reason: Failure) -> None:
        # Tells of it when all who are told with this call have been.
        reactor.callLater(0, self.ended.callback, reason.value)
        if self.request is not None and reason.check(ProcessDone):
            self.request.write(self.output)
            self.request.finish()


class ProcessTestCase(TestCase):
    """A test with child processes.

    Attributes:
        child: The last that was started.
    """

    timeout = 20

    def setUp(self) -> None:
        self.clock = Clock()
        self.outcomes: list[Outcome] = []

    def start(self, script: str, request: Any = None, child: Child | None = None) -> Any:
        """Start a shell."""
        self.child = Child(request) if child is None else child
        return reactor.spawnProcess(self.child, "/bin/sh", ["sh", "-c", script], env=None)

    def visit(self, handler: Handler, **options: Any) -> Client:
        """One GET of the page that the handler makes."""
        options.setdefault("observers", self.outcomes.append)
        decorate: Any = cancel_on_disconnect(**options)
        client = Client(Page(decorate(handler)), self.clock)
        client.request()
        return client

    def assert_ended(self, ended: Ended) -> None:
        """There is one outcome, and it is this."""
        self.assertEqual([each.ended for each in self.outcomes], [ended])


class ReturnedTests(ProcessTestCase):
    """A process that a handler returns."""

    async def test_completes(self) -> None:
        """Its protocol writes the page when it ends."""
        client = self.visit(lambda request: self.start("echo page", request))
        await self.child.ended
        self.assertEqual(client.response.body, b"page\n")
        self.assert_ended(Ended.COMPLETED)

    async def test_term(self) -> None:
        """It gets TERM when its client leaves, and has settled when it has ended."""
        client = self.visit(lambda _: self.start(SLEEP))
        await self.child.begun
        client.disconnect()
        self.assertEqual(self.outcomes, [])
        error = await self.child.ended
        self.assertEqual(error.signal, 15)
        self.assert_ended(Ended.STOPPED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_kill(self) -> None:
        """One that ignores TERM gets KILL three seconds later."""
        client = self.visit(lambda _: self.start(STUBBORN))
        await self.child.begun
        client.disconnect()
        self.clock.advance(2.9)
        self.clock.advance(0.1)
        error = await self.child.ended
        self.assertEqual(error.signal, 9)
        self.assert_ended(Ended.STOPPED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_last_words(self) -> None:
        """Between TERM and KILL it may clean up, and end as it likes."""
        script = "trap 'echo cleaned; exit 3' TERM; echo begun; while :; do sleep 0.05; done"
        client = self.visit(lambda _: self.start(script))
        await self.child.begun
        client.disconnect()
        error = await self.child.ended
        self.assertEqual(error.exitCode, 3)
        self.assertEqual(self.child.output, b"begun\ncleaned\n")
        self.assert_ended(Ended.STOPPED)

    async def test_exit_status(self) -> None:
        """One that ends with another status than 0, and is not answered for, is a 500."""
        client = self.visit(lambda request: self.start("exit 7", request))
        await self.child.ended
        self.clock.advance(0)
        self.assertEqual(client.response.status, 500)
        (failure,) = self.flushLoggedErrors(ProcessTerminated)
        self.assertEqual(failure.value.exitCode, 7)
        self.assert_ended(Ended.FAILED)

    async def test_tracked_as_well(self) -> None:
        """One that is tracked and returned ends for both."""

        def handler(_: object) -> object:
            return current_scope().track(self.start(SLEEP))

        client = self.visit(handler)
        await self.child.begun
        client.disconnect()
        await self.child.ended
        self.assert_ended(Ended.STOPPED)

    async def test_its_own_hearer(self) -> None:
        """A `processEnded` that was put on the protocol itself is called, and stays there."""
        told: Deferred[Failure] = Deferred()
        child: Any = Child()
        child.processEnded = hearer = told.errback
        self.visit(lambda _: self.start("true", child=child))
        await self.assertFailure(told, ProcessDone)
        self.assertIs(child.processEnded, hearer)

    async def test_exit_status_answered(self) -> None:
        """If its protocol has answered, the status is its own business."""

        class Answering(Child):
            def processEnded(self, reason: Failure) -> None:
                self.request.write(PAGE)
                self.request.finish()
                super().processEnded(reason)

        def handler(request: Any) -> object:
            return self.start("exit 7", child=Answering(request))

        client = self.visit(handler)
        await self.child.ended
        self.assertEqual(client.response.body, PAGE)

    async def test_protocol_raises(self) -> None:
        """If its protocol raises, the request is a 500 and the error is logged once."""

        class Raising(Child):
            def processEnded(self, reason: Failure) -> None:
                super().processEnded(reason)
                raise KeyError

        client = self.visit(lambda _: self.start("echo page", child=Raising()))
        await self.child.ended
        self.assertEqual(client.response.status, 500)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assert_ended(Ended.FAILED)

    async def test_tracked_protocol_raises(self) -> None:
        """If the protocol of a tracked one raises, the error is Twisted's to log, and told."""

        class Raising(Child):
            def processEnded(self, reason: Failure) -> None:
                super().processEnded(reason)
                raise KeyError

        def handler(_: object) -> object:
            current_scope().track(self.start("exit 0", child=Raising()))
            return NOT_DONE_YET

        client = self.visit(handler)
        await self.child.ended
        client.disconnect()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assert_ended(Ended.FAILED)

    async def test_ended_before(self) -> None:
        """One that has ended when it is returned has left the answer to others."""
        process = self.start("exit 0")
        await self.child.ended
        self.visit(lambda _: process).disconnect()
        self.assert_ended(Ended.COMPLETED)

    async def test_exited(self) -> None:
        """One that has exited, but whose output is still open, gets no signal; it is waited for."""

        class Exiting(Child):
            exited: Deferred[None]

            def processExited(self, reason: Failure) -> None:
                self.exited.callback(None)

        child = Exiting()
        child.exited = Deferred()
        process: Any = None

        def handler(_: object) -> object:
            nonlocal process
            process = self.start("cat <&0 & exit 0", child=child)
            return process

        client = self.visit(handler)
        await child.exited
        client.disconnect()
        # Nothing is timed but the end of the scope's patience.
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [5])
        process.closeStdin()
        await child.ended
        self.assert_ended(Ended.STOPPED)

    async def test_exits_as_its_client_leaves(self) -> None:
        """One that exits as its client leaves has been stopped, and nobody complains."""
        client = self.visit(lambda _: self.start("echo begun"))
        await self.child.begun
        ended = self.child.ended
        client.disconnect()
        await ended
        self.assert_ended(Ended.STOPPED)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_deadline(self) -> None:
        """The deadline stops it, too."""
        client = self.visit(lambda _: self.start(SLEEP), timeout=3)
        await self.child.begun
        self.clock.advance(3)
        self.assertEqual(client.response.status, 503)
        await self.child.ended
        self.assert_ended(Ended.STOPPED)

    async def test_whole_protocol(self) -> None:
        """The protocol is as it was when the process has ended."""
        client = self.visit(lambda _: self.start("echo page"))
        await self.child.ended
        self.assertNotIn("processEnded", vars(self.child))
        client.disconnect()


class TrackedTests(ProcessTestCase):
    """A process that is tracked beside the response."""

    async def test_term(self) -> None:
        """It gets TERM when the response is finished."""

        def handler(request: Any) -> int:
            self.request = request
            scope_of(request).track(self.start(SLEEP))
            return NOT_DONE_YET

        client = self.visit(handler)
        await self.child.begun
        self.request.finish()
        self.assertEqual(client.response.status, 200)
        error = await self.child.ended
        self.assertEqual(error.signal, 15)
        self.assert_ended(Ended.STOPPED)

    async def test_outlives_the_grace(self) -> None:
        """One that not even KILL ends in time is a survivor; a short `survivor_after` says so."""
        client = self.visit(lambda _: self.start(STUBBORN), survivor_after=1)
        await self.child.begun
        client.disconnect()
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
        self.assert_ended(Ended.COMPLETED)

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


if sys.platform == "win32":
    ProcessTestCase.skip = "a shell and its signals are needed"  # type: ignore[attr-defined]
