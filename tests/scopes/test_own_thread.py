"""Calls in another thread than the reactor's: they fail at once, and say so.

What belongs here: what must not be called in another thread, and what may be. What does not:
functions that run in threads for a request.
"""

from collections.abc import Callable
from contextvars import copy_context
from threading import Thread, get_ident
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.python import threadable
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cancelweb import CancellingResource, Draining, Shared, current_scope, detach, shield
from cancelweb.monitor import Monitor
from cancelweb.testing import Client
from cancelweb.threads import defer_to_thread

from .._pages import GetPage, waiting
from .._servers import reactor
from .._visits import Visit

WITH_A_SCOPE: dict[str, Callable[[Any], object]] = {
    "scope.acquire": lambda scope: scope.acquire(Deferred(), print),
    "scope.cancel": lambda scope: scope.cancel(Draining()),
    "scope.limit": lambda scope: scope.limit(1),
    "scope.note": lambda scope: scope.note(user=1),
    "scope.on_cancel": lambda scope: scope.on_cancel(print),
    "scope.on_exit": lambda scope: scope.on_exit(print),
    "scope.track": lambda scope: scope.track(Deferred()),
    "scope.withdraw": lambda scope: scope.withdraw(print),
    "shield": lambda _: shield(Deferred()),
    "detach": lambda _: detach(Deferred()),
}

BEGUN: dict[str, Callable[[], object]] = {
    "a call in a thread": lambda: defer_to_thread(print),
    "a shared run": Shared(lambda: succeed(None)),
}


def in_thread(call: Callable[[], object]) -> object:
    """What a call returns or raises in another thread, in the context of the caller."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(copy.run(call))
        except Exception as error:
            results.append(error)

    copy = copy_context()
    thread = Thread(target=run, name="worker")
    thread.start()
    thread.join()
    return results[0]


class OtherThreadTests(TestCase):
    """Another thread than that of the running reactor calls a function."""

    def failure_of(self, call: Callable[[Any], object]) -> object:
        """What the call in another thread raised; it is begun in the handler of a request."""
        results: list[object] = []

        def handler(_: object) -> Deferred[bytes]:
            scope = current_scope()
            results.append(in_thread(lambda: call(scope)))
            return Deferred()

        visit = Visit(handler, clock=reactor)
        self.assertIsNone(visit.scope.cause)
        visit.disconnect()
        self.assertEqual(visit.outcome.notes, {})
        self.assertIsInstance(results[0], RuntimeError)
        return results[0]

    async def test_is_refused(self) -> None:
        """The methods of a scope, `shield` and `detach` fail, and name the remedy."""
        await deferLater(reactor, 0)  # From here on, the reactor runs.
        for name, call in WITH_A_SCOPE.items():
            self.assertEqual(
                str(self.failure_of(call)),
                f"{name} was called in the thread 'worker', but only the reactor's thread may call "
                f"it. Write reactor.callFromThread({name}, ...).",
            )

    async def test_drain(self) -> None:
        """A monitor refuses to drain there, and goes on as before."""
        await deferLater(reactor, 0)
        monitor = Monitor(reactor)
        refused = in_thread(lambda: monitor.drain(0))
        self.assertIsInstance(refused, RuntimeError)
        self.assertIn("reactor.callFromThread(monitor.drain, ...)", str(refused))
        self.assertFalse(monitor.is_draining)

    async def test_monitor(self) -> None:
        """While there are requests, a monitor refuses all other calls there, too."""
        await deferLater(reactor, 0)
        monitor = Monitor()
        calls: dict[str, Callable[[], object]] = {
            "monitor.add_observer": lambda: monitor.add_observer(print),
            "monitor.blind_spots": monitor.blind_spots,
        }
        for call in calls.values():
            self.assertNotIsInstance(in_thread(call), Exception)
        page = CancellingResource(GetPage(waiting), monitor=monitor, observers=())
        connection = Client(page, reactor, watch=False).connect()
        connection.get()
        for name, call in calls.items():
            refused = in_thread(call)
            self.assertIsInstance(refused, RuntimeError)
            self.assertIn(f"reactor.callFromThread({name}, ...)", str(refused))
        connection.disconnect()

    async def test_nothing_begins(self) -> None:
        """Helpers that begin work fail, and name the remedy."""
        await deferLater(reactor, 0)
        for name, call in BEGUN.items():
            self.assertEqual(
                str(self.failure_of(lambda _, call=call: call())),  # type: ignore[misc]
                f"{name} was begun in the thread 'worker', but only the reactor's thread may do "
                "that. Write blockingCallFromThread(reactor, function, ...), from "
                "twisted.internet.threads, which also waits for the result.",
            )

    async def test_may_look(self) -> None:
        """Another thread may call `check` and `remaining`, and read `cause` and `deadline`."""
        await deferLater(reactor, 0)
        scope = Visit(waiting, clock=reactor, timeout=500).scope
        for call in (scope.check, scope.remaining, lambda: scope.cause, lambda: scope.deadline):
            self.assertNotIsInstance(in_thread(call), Exception)
        scope.limit(None)

    async def test_of_a_reactor_that_was_started_first(self) -> None:
        """The thread of a reactor is found, although another was started in its own thread."""
        await deferLater(reactor, 0)
        self.patch(threadable, "ioThread", -1)
        scope = Visit(waiting, clock=reactor).scope
        self.assertTrue(scope.cancel(Draining()))


class NoReactorTests(SynchronousTestCase):
    """No reactor runs for the scope, so no thread is wrong."""

    def test_a_clock_of_a_test(self) -> None:
        """A test may serve requests with a clock of its own, in any thread."""
        self.patch(threadable, "ioThread", get_ident())
        self.assertIs(in_thread(lambda: Visit(waiting).scope.cancel(Draining())), True)

    def test_before_a_reactor_runs(self) -> None:
        """Before the reactor runs, its thread is not known."""
        self.patch(threadable, "ioThread", None)
        scope = Visit(waiting, clock=reactor).scope
        self.assertIs(in_thread(lambda: scope.cancel(Draining())), True)
