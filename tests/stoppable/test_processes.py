"""Child processes: real ones, returned, and stopped when their client leaves.

What belongs here: `IProcessTransport` with processes of the system. The clients are in memory, and
the clock of the grace period is the test's. What does not: `cancelweb.processes`, which has
`real.system.test_process_groups`.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from cancelweb import Ended, current_scope
from cancelweb._kinds.twisted_kinds import ProcessCanceller
from cancelweb.testing import Connection

from .._pages import PAGE
from ._spawned import SLEEP, STUBBORN, Child, ProcessTestCase, reactor

HOLDER = "exec 3<&0; cat <&3 &"
"""A shell's commands: a process that holds the shell's pipes open, until its input ends."""


def process_of(child: Child) -> Any:
    """The transport of a child."""
    return child.transport


class ReturnedTests(ProcessTestCase):
    """A process that a handler returns."""

    async def test_completes(self) -> None:
        """A process that a handler returns completes its request when it ends."""
        connection = self.visit(lambda request: self.start("echo page", request))
        await self.child.ended
        self.assertEqual(connection.response.body, b"page\n")
        self.assert_ended(Ended.COMPLETED)

    async def test_term(self) -> None:
        """A process gets TERM when its client leaves, and is waited for until it has ended."""
        connection = self.visit(lambda _: self.start(SLEEP))
        await self.child.begun
        connection.disconnect()
        self.assertEqual(self.outcomes, [])
        error = await self.child.ended
        self.assertEqual(error.signal, 15)
        self.assert_ended(Ended.STOPPED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_kill(self) -> None:
        """A process that ignores TERM gets KILL three seconds later."""
        connection = self.visit(lambda _: self.start(STUBBORN))
        await self.child.begun
        connection.disconnect()
        self.clock.advance(2.9)
        self.assertIn(3.0, [each.getTime() for each in self.clock.getDelayedCalls()])
        self.clock.advance(0.1)
        error = await self.child.ended
        self.assertEqual(error.signal, 9)
        self.assert_ended(Ended.STOPPED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_last_words(self) -> None:
        """A process may clean up after TERM, and end with a status of its own."""
        script = "trap 'echo cleaned; exit 3' TERM; echo begun; while :; do sleep 0.05; done"
        connection = self.visit(lambda _: self.start(script))
        await self.child.begun
        connection.disconnect()
        error = await self.child.ended
        self.assertEqual(error.exitCode, 3)
        self.assertEqual(self.child.output, b"begun\ncleaned\n")
        self.assert_ended(Ended.STOPPED)

    async def test_exit_status(self) -> None:
        """A request whose process fails without an answer is a 500, and the failure is logged."""
        connection = self.visit(lambda request: self.start("exit 7", request))
        await self.child.ended
        self.clock.advance(0)
        self.assertEqual(connection.response.code, 500)
        (failure,) = self.flushLoggedErrors(ProcessTerminated)
        self.assertEqual(failure.value.exitCode, 7)
        self.assert_ended(Ended.FAILED)

    async def test_tracked_as_well(self) -> None:
        """A process that is both tracked and returned is stopped when its client leaves."""

        def handler(_: object) -> object:
            return current_scope().track(self.start(SLEEP))

        connection = self.visit(handler)
        await self.child.begun
        connection.disconnect()
        await self.child.ended
        self.assert_ended(Ended.STOPPED)

    async def test_its_own_hearer(self) -> None:
        """A `processEnded` that was set on the protocol itself is called, and stays there."""
        told: Deferred[Failure] = Deferred()
        child: Any = Child()
        child.processEnded = hearer = told.errback
        self.visit(lambda _: self.start("true", child=child))
        await self.assertFailure(told, ProcessDone)
        self.assertIs(child.processEnded, hearer)

    async def test_exit_status_answered(self) -> None:
        """A protocol that has answered decides what the exit status of its process means."""

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
        """A process whose protocol raises is a 500, and the error is logged once."""

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
        """A tracked process whose protocol raises makes the request fail; it is logged once."""

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
        """A process that has ended before it is returned is let go."""
        process = self.start("exit 0")
        await self.child.ended
        self.visit(lambda _: process).disconnect()
        self.assert_ended(Ended.LET_GO)

    async def exited(self) -> Connection:
        """The connection to a page whose process has exited, while another holds its output."""

        class Exiting(Child):
            exited: Deferred[None]

            def processExited(self, reason: Failure) -> None:
                self.exited.callback(None)

        child = Exiting()
        child.exited = Deferred()
        connection = self.visit(lambda _: self.start(f"{HOLDER} exit 0", child=child))
        await child.exited
        return connection

    async def test_exited(self) -> None:
        """A process that has exited, but whose output is open, is waited for."""
        (await self.exited()).disconnect()
        self.assertEqual(self.outcomes, [])
        process_of(self.child).closeStdin()
        await self.child.ended
        self.assert_ended(Ended.STOPPED)

    async def test_held_open(self) -> None:
        """The pipes of a process that has exited are closed a grace period after the cancel."""
        (await self.exited()).disconnect()
        self.clock.advance(ProcessCanceller.grace)
        await self.child.ended
        self.assert_ended(Ended.STOPPED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_held_open_after_kill(self) -> None:
        """If a process was killed, its pipes are closed a grace period after that."""
        connection = self.visit(lambda _: self.start(f"{HOLDER} {STUBBORN}"), survivor_after=60)
        await self.child.begun
        connection.disconnect()
        self.clock.advance(ProcessCanceller.grace)
        while process_of(self.child).pid is not None:
            await deferLater(reactor, 0.01)
        self.assertEqual(self.outcomes, [])
        self.clock.advance(ProcessCanceller.grace)
        await self.child.ended
        self.assert_ended(Ended.STOPPED)

    async def test_exits_as_its_client_leaves(self) -> None:
        """A process that exits as its client leaves counts as stopped, and no error is logged."""
        connection = self.visit(lambda _: self.start("echo begun"))
        await self.child.begun
        ended = self.child.ended
        connection.disconnect()
        await ended
        self.assert_ended(Ended.STOPPED)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_deadline(self) -> None:
        """A process whose deadline passes is stopped, and its request is a 503."""
        connection = self.visit(lambda _: self.start(SLEEP), timeout=3)
        await self.child.begun
        self.clock.advance(3)
        self.assertEqual(connection.response.code, 503)
        await self.child.ended
        self.assert_ended(Ended.STOPPED)

    async def test_whole_protocol(self) -> None:
        """A protocol is as it was before, once its process has ended."""
        connection = self.visit(lambda _: self.start("echo page"))
        await self.child.ended
        self.assertNotIn("processEnded", vars(self.child))
        connection.disconnect()
