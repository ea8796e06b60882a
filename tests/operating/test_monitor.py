"""A monitor: the open scopes, what became of the others, and which observers are told.

What belongs here: what is counted and what is kept. What does not: drains (`test_drain`), survivors
(`scopes.test_survivors_told`).
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import (
    CancellingResource,
    Disconnected,
    Ended,
    Outcome,
    cancel_on_disconnect,
)
from cancelweb.monitor import Monitor, where_it_waits
from cancelweb.testing import Connection

from .._cycles import Memory, no_cycles
from .._pages import Handler, NoHead, Page, raising, returning, waiting
from .._visits import connect
from .._work import Errand


class MonitorTestCase(SynchronousTestCase):
    """A test with a monitor, and clients of wrapped handlers."""

    def setUp(self) -> None:
        """A monitor."""
        self.monitor = Monitor()

    def connection(self, handler: Handler, **options: Any) -> Connection:
        """A client of a wrapped handler."""
        return connect(CancellingResource(Page(handler), monitor=self.monitor, **options))


class ReadOnlyTests(MonitorTestCase):
    """What a monitor decides itself."""

    def test_draining(self) -> None:
        """Only a drain makes a monitor turn requests away, or has it say so."""
        monitor: Any = self.monitor
        for name in ("is_draining", "is_ready", "retry_after", "scopes", "opened"):
            with self.assertRaises(AttributeError):
                setattr(monitor, name, True)
        self.assertIs(monitor.is_draining, False)


class ScopesTests(MonitorTestCase):
    """The open scopes that a monitor knows."""

    def test_are_there_while_they_are_open(self) -> None:
        """A monitor knows a scope from before its handler runs until it has closed."""
        answer: Deferred[bytes] = Deferred()
        seen: list[object] = []

        def handler(request: Request) -> Deferred[bytes]:
            seen.extend(self.monitor.scopes)
            return answer

        connection = self.connection(handler)
        self.assertEqual((self.monitor.scopes, self.monitor.opened), ((), 0))
        connection.get()
        self.assertEqual(list(self.monitor.scopes), seen)
        self.assertEqual(len(seen), 1)
        answer.callback(b"")
        self.assertEqual((self.monitor.scopes, self.monitor.opened), ((), 1))

    def test_the_oldest_first(self) -> None:
        """A monitor has its scopes in the order of their times of opening."""
        first = self.connection(waiting)
        for connection in first, connect(first.client.site), connect(first.client.site):
            connection.get()
            first.client.clock.advance(1)
        self.assertEqual([scope.opened for scope in self.monitor.scopes], [0.0, 1.0, 2.0])

    def test_tell_since_when(self) -> None:
        """A scope tells when it was opened, while its handler is still running."""
        seen: list[object] = []

        def handler(request: Request) -> bytes:
            seen.append(self.monitor.scopes[0].opened)
            return b""

        connection = self.connection(handler)
        connection.client.clock.advance(7)
        connection.get()
        self.assertEqual(seen, [7.0])

    def test_a_websocket(self) -> None:
        """A monitor forgets a scope whose connection is taken over, and leaves that open."""

        def take_over(request: Request) -> int:
            channel: Any = request.channel
            channel.dataReceived = channel.connectionLost = lambda _: None
            request.setResponseCode(101)
            request.write(b"")
            return NOT_DONE_YET

        connection = self.connection(take_over)
        connection.get()
        self.assertEqual(self.monitor.scopes, ())
        self.assertEqual(self.monitor.totals, {("none", "completed"): 1})
        self.assertFalse(connection.is_closed)

    def test_are_counted_in_its_repr(self) -> None:
        """The ``repr`` of a monitor has the numbers of open scopes and of all."""
        self.connection(waiting).get()
        self.connection(lambda _: b"").get()
        self.assertEqual(repr(self.monitor), "<Monitor: 1 of 2 scopes open>")


class TotalsTests(MonitorTestCase):
    """The totals that a monitor counts."""

    def test_a_request_that_completes(self) -> None:
        """A handler's bytes and a Deferred's result both count as completed, for no cause."""
        for result in b"", Deferred[bytes]():
            connection = self.connection(returning(result))
            connection.get()
            if isinstance(result, Deferred):
                result.callback(b"")
        self.assertEqual(self.monitor.totals, {("none", "completed"): 2})

    def test_a_client_that_leaves(self) -> None:
        """A request whose client leaves counts as stopped, under ``Disconnected``."""
        connection = self.connection(waiting)
        connection.get()
        connection.disconnect()
        self.assertEqual(self.monitor.totals, {("Disconnected", "stopped"): 1})

    def test_one_whose_work_survives(self) -> None:
        """A request whose work does not stop counts as survived, once its patience is over."""
        connection = self.connection(lambda _: Errand(obedient=False))
        connection.get()
        connection.disconnect()
        self.assertEqual(self.monitor.opened, 1)
        connection.client.clock.advance(5)
        self.assertEqual(self.monitor.totals, {("Disconnected", "survived"): 1})

    def test_a_failure(self) -> None:
        """A request whose handler raises counts as failed, for no cause."""
        self.connection(raising).get()
        self.assertEqual(self.monitor.totals, {("none", "failed"): 1})
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_head_that_is_rendered_twice(self) -> None:
        """A HEAD for which Twisted calls the handler again, with a GET, counts once."""
        page = NoHead(lambda _: b"page")
        connection = connect(CancellingResource(page, monitor=self.monitor))
        connection.request(method=b"HEAD")
        self.assertEqual((self.monitor.scopes, self.monitor.opened), ((), 1))
        self.assertEqual(connection.response.code, 200)

    def test_cannot_be_changed(self) -> None:
        """The totals, and what would have been cancelled, are read-only mappings."""
        for mapping in self.monitor.totals, self.monitor.would_have_cancelled:
            changing: Any = mapping
            with self.assertRaises(TypeError):
                changing["none", "completed"] = 1


class OutcomesTests(MonitorTestCase):
    """The observers that a monitor tells about each scope that closes."""

    def test_are_told_to_observers(self) -> None:
        """A monitor's observer is told about requests that were left and that completed."""
        outcomes: list[Outcome] = []
        connection = self.connection(waiting)
        connection.get()
        self.monitor.add_observer(outcomes.append)
        connection.disconnect()
        self.connection(lambda _: b"").get(path=b"/page?query")
        left, served = outcomes
        self.assertIsInstance(left.cause, Disconnected)
        self.assertEqual((served.ended, served.path), (Ended.COMPLETED, b"/page"))

    def test_once_each(self) -> None:
        """An observer that both the monitor and the entry point have is told once."""
        outcomes: list[Outcome] = []
        tell = outcomes.append
        self.monitor.add_observer(tell)
        self.connection(waiting, observers=tell).get()
        connection = self.connection(lambda _: b"", observers=tell)
        connection.get()
        self.assertEqual(len(outcomes), 1)

    def test_one_that_raises(self) -> None:
        """A monitor's observer that raises is logged, and the other observers are told."""
        outcomes: list[Outcome] = []

        def fail(outcome: Outcome) -> None:
            raise ValueError("an observer's")

        self.monitor.add_observer(fail)
        self.monitor.add_observer(outcomes.append)
        self.connection(lambda _: b"").get()
        self.assertEqual((len(outcomes), len(self.flushLoggedErrors(ValueError))), (1, 1))

    def test_no_observer(self) -> None:
        """An observer that cannot be called with one argument is a TypeError."""
        for wrong in None, lambda: None:
            with self.assertRaisesRegex(TypeError, "^observers must be"):
                self.monitor.add_observer(wrong)  # type: ignore[arg-type]


class EntryPointsThatMeetTests(MonitorTestCase):
    """Several entry points on one request, each with a monitor."""

    def test_with_one_monitor(self) -> None:
        """Two entry points with the same monitor count the request once."""
        inner = CancellingResource(Page(waiting), monitor=self.monitor)
        connection = connect(CancellingResource(inner, monitor=self.monitor))
        connection.get()
        self.assertEqual(len(self.monitor.scopes), 1)
        connection.disconnect()
        self.assertEqual((self.monitor.scopes, self.monitor.opened), ((), 1))

    def test_with_a_monitor_each(self) -> None:
        """A monitor of a part counts the part's request, and the site's counts both requests."""
        part = Monitor()
        root = Resource()
        entry_point: Any = CancellingResource(Page(waiting), monitor=part)
        root.putChild(b"part", entry_point)
        root.putChild(b"other", Page(waiting))
        for path in b"/part", b"/other":
            connection = connect(CancellingResource(root, monitor=self.monitor))
            connection.get(path=path)
            connection.disconnect()
        self.assertEqual(self.monitor.totals, {("Disconnected", "stopped"): 2})
        self.assertEqual(part.totals, {("Disconnected", "stopped"): 1})

    def test_around_a_decorated_handler(self) -> None:
        """A wrapper's monitor counts the request of a decorated handler inside it."""
        connection = self.connection(cancel_on_disconnect(waiting))
        connection.get()
        connection.disconnect()
        self.assertEqual(self.monitor.totals, {("Disconnected", "stopped"): 1})


class ForgettingTests(MonitorTestCase):
    """What a monitor does not keep."""

    def test_nothing_of_a_closed_scope_is_held(self) -> None:
        """A monitor holds neither request nor scope once it has closed, however it ended."""
        for handler in waiting, lambda _: b"", lambda _: Errand(obedient=False):
            memory = Memory()

            def noting(request: Request, handler: Any = handler, memory: Any = memory) -> object:
                memory.note(request)
                result: object = handler(request)
                return result

            connection = self.connection(noting)
            connection.get()
            connection.disconnect()
            connection.client.clock.advance(6)
            del connection
            self.assertEqual((self.monitor.scopes, memory.alive()), ((), []))

    def test_no_cycles(self) -> None:
        """A monitor leaves nothing to the cycle collector."""
        for handler in waiting, lambda _: b"":
            connection = self.connection(handler)
            with no_cycles(self):
                connection.get()
                connection.disconnect()


class WhereTests(MonitorTestCase):
    """Where a scope's work waits, by `where_it_waits`."""

    def test_a_coroutine(self) -> None:
        """The place of a waiting coroutine is the innermost frame that awaits."""

        async def inner() -> None:
            await Deferred()

        async def handler(request: Request) -> bytes:
            await inner()
            return b""

        self.connection(handler).get()
        where = where_it_waits(self.monitor.scopes[0])
        line = inner.__code__.co_firstlineno + 1
        self.assertEqual(where, f"{__file__}:{line} in {inner.__qualname__}")

    def test_other_work(self) -> None:
        """The place of work that is not a coroutine is its description."""
        errand = Errand()
        self.connection(lambda _: errand).get()
        self.assertEqual(where_it_waits(self.monitor.scopes[0]), "tests._work.Errand")

    def test_a_coroutine_that_has_come_to_more(self) -> None:
        """The place of a coroutine that ended in other work is that of the work."""
        errand, wait = Errand(), Deferred[bytes]()

        async def handler(request: Request) -> object:
            return errand if request.path == b"/errand" else wait

        for path in b"/errand", b"/wait":
            self.connection(handler).get(path=path)
        first, second = self.monitor.scopes
        self.assertEqual(where_it_waits(first), "tests._work.Errand")
        self.assertEqual(where_it_waits(second), "Deferred without a canceller")

    def test_no_work(self) -> None:
        """The place of a request without work is empty."""
        self.connection(lambda _: NOT_DONE_YET).get()
        self.assertEqual(where_it_waits(self.monitor.scopes[0]), "")
