"""Calls in another thread than the reactor's: they fail at once, and say so.

What belongs here: what must not be called in another thread, and what may be. What does not:
functions that run in threads for a request.
"""

from collections.abc import Callable
from contextvars import copy_context
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import Draining, Shared, current_scope, detach, shield
from cancelweb.threads import defer_to_thread

from .._pages import waiting
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


class OtherThreadTests(SynchronousTestCase):
    """Another thread than that of the reactor calls a function."""

    def failure_of(self, call: Callable[[Any], object]) -> object:
        """What the call in another thread raised; it is begun in the handler of a request."""
        results: list[object] = []

        def handler(_: object) -> Deferred[bytes]:
            scope = current_scope()
            results.append(in_thread(lambda: call(scope)))
            return Deferred()

        visit = Visit(handler)
        self.assertIsNone(visit.scope.cause)
        visit.disconnect()
        self.assertEqual(visit.outcome.notes, {})
        self.assertIsInstance(results[0], RuntimeError)
        return results[0]

    def test_is_refused(self) -> None:
        """The methods of a scope, `shield` and `detach` fail, and name the remedy."""
        for name, call in WITH_A_SCOPE.items():
            self.assertEqual(
                str(self.failure_of(call)),
                f"{name} was called in the thread 'worker', but only the reactor's thread may call "
                f"it. Write reactor.callFromThread({name}, ...).",
            )

    def test_nothing_begins(self) -> None:
        """Helpers that begin work fail, and name the remedy."""
        for name, call in BEGUN.items():
            self.assertEqual(
                str(self.failure_of(lambda _, call=call: call())),  # type: ignore[misc]
                f"{name} was begun in the thread 'worker', but only the reactor's thread may do "
                "that. Write blockingCallFromThread(reactor, function, ...), from "
                "twisted.internet.threads, which also waits for the result.",
            )

    def test_may_look(self) -> None:
        """Another thread may call `check` and `remaining`, and read `cause` and `deadline`."""
        scope = Visit(waiting, timeout=5).scope
        for call, result in (
            (scope.check, None),
            (scope.remaining, 5.0),
            (lambda: scope.cause, None),
            (lambda: scope.deadline, 5.0),
        ):
            self.assertEqual(in_thread(call), result)

    def test_the_thread_of_its_request(self) -> None:
        """A scope belongs to the thread that serves its request, even if that is not the main thread."""
        visits: list[Visit] = []

        def serve() -> bool:
            visits.append(Visit(waiting))
            visits[0].scope.on_exit(lambda _: None)
            return visits[0].scope.cancel(Draining())

        self.assertIs(in_thread(serve), True)
