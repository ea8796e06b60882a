"""Child processes: real ones, returned, and stopped when their client leaves.

What belongs here: `IProcessTransport` with processes of the system. The clients are in memory, and
the clock of the grace period is the test's. What does not: `cancelweb.processes`, which has
`real.system.test_process_groups`.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from cancelweb import Ended, current_scope

from .._pages import PAGE
from ._spawned import SLEEP, STUBBORN, Child, ProcessTestCase


class ReturnedTests(ProcessTestCase):
    """A process that a handler returns."""

    async def test_completes(self) -> None:
        """Its protocol writes the page when it ends."""
        connection = self.visit(lambda request: self.start("echo page", request))
        await self.child.ended
        self.assertEqual(connection.response.body, b"page\n")
        self.assert_ended(Ended.COMPLETED)

    async def test_term(self) -> None:
        """It gets TERM when its client leaves, and has settled when it has ended."""
        connection = self.visit(lambda _: self.start(SLEEP))
        await self.child.begun
        connection.disconnect()
        self.assertEqual(self.outcomes, [])
        error = await self.child.ended
        self.assertEqual(error.signal, 15)
        self.assert_ended(Ended.STOPPED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_kill(self) -> None:
        """One that ignores TERM gets KILL three seconds later."""
        connection = self.visit(lambda _: self.start(STUBBORN))
        await self.child.begun
        connection.disconnect()
        self.clock.advance(2.9)
        self.clock.advance(0.1)
        error = await self.child.ended
        self.assertEqual(error.signal, 9)
        self.assert_ended(Ended.STOPPED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_last_words(self) -> None:
        """Between TERM and KILL it may clean up, and end as it likes."""
        script = "trap 'echo cleaned; exit 3' TERM; echo begun; while :; do sleep 0.05; done"
        connection = self.visit(lambda _: self.start(script))
        await self.child.begun
        connection.disconnect()
        error = await self.child.ended
        self.assertEqual(error.exitCode, 3)
        self.assertEqual(self.child.output, b"begun\ncleaned\n")
        self.assert_ended(Ended.STOPPED)

    async def test_exit_status(self) -> None:
        """One that ends with another status than 0, and is not answered for, is a 500."""
        connection = self.visit(lambda request: self.start("exit 7", request))
        await self.child.ended
        self.clock.advance(0)
        self.assertEqual(connection.response.code, 500)
        (failure,) = self.flushLoggedErrors(ProcessTerminated)
        self.assertEqual(failure.value.exitCode, 7)
        self.assert_ended(Ended.FAILED)

    async def test_tracked_as_well(self) -> None:
        """One that is tracked and returned ends for both."""

        def handler(_: object) -> object:
            return current_scope().track(self.start(SLEEP))

        connection = self.visit(handler)
        await self.child.begun
        connection.disconnect()
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

        connection = self.visit(handler)
        await self.child.ended
        self.assertEqual(connection.response.body, PAGE)

    async def test_protocol_raises(self) -> None:
        """If its protocol raises, the request is a 500 and the error is logged once."""

        class Raising(Child):
            def processEnded(self, reason: Failure) -> None:
                super().processEnded(reason)
                raise KeyError

        connection = self.visit(lambda _: self.start("echo page", child=Raising()))
        await self.child.ended
        self.assertEqual(connection.response.code, 500)
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

        connection = self.visit(handler)
        await self.child.ended
        connection.disconnect()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assert_ended(Ended.FAILED)

    async def test_ended_before(self) -> None:
        """One that has ended when it is returned has left the answer to others."""
        process = self.start("exit 0")
        await self.child.ended
        self.visit(lambda _: process).disconnect()
        self.assert_ended(Ended.LET_GO)

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

        connection = self.visit(handler)
        await child.exited
        connection.disconnect()
        # Nothing is timed but the end of the scope's patience.
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [5])
        process.closeStdin()
        await child.ended
        self.assert_ended(Ended.STOPPED)

    async def test_exits_as_its_client_leaves(self) -> None:
        """One that exits as its client leaves has been stopped, and nobody complains."""
        connection = self.visit(lambda _: self.start("echo begun"))
        await self.child.begun
        ended = self.child.ended
        connection.disconnect()
        await ended
        self.assert_ended(Ended.STOPPED)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_deadline(self) -> None:
        """The deadline stops it, too."""
        connection = self.visit(lambda _: self.start(SLEEP), timeout=3)
        await self.child.begun
        self.clock.advance(3)
        self.assertEqual(connection.response.code, 503)
        await self.child.ended
        self.assert_ended(Ended.STOPPED)

    async def test_whole_protocol(self) -> None:
        """The protocol is as it was when the process has ended."""
        connection = self.visit(lambda _: self.start("echo page"))
        await self.child.ended
        self.assertNotIn("processEnded", vars(self.child))
        connection.disconnect()
