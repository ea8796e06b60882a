"""The fast path of a request: it behaves as the general path does, and keeps the same promises.

The random histories are in `_twins`; what the paths cost is measured elsewhere.
"""

import gc
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Any, ClassVar
from weakref import ref

from attrs import define, field
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.logger import formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.test.requesthelper import DummyRequest

from cancelweb import (
    CancellingResource,
    Draining,
    Ended,
    cancel_on_disconnect,
    current_scope,
    scope_of,
)
from cancelweb.testing import Connection

from .._logs import log_events, of_cancelweb
from .._pages import PAGE, Page, raising, returning, waiting
from .._visits import Visit, connect
from ._nests import decorated
from ._noting import AT_ONCE, SIMPLE, Journal, LosingAtOnce
from ._twin import Watcher
from ._twin_beginnings import SIMPLEST
from ._twins import run_each, run_twins


class TwinTests(SynchronousTestCase):
    """The same random histories, with the fast path and without it."""

    def test_cannot_be_told_apart(self) -> None:
        """Random histories, many of them on the fast path, look the same without that path."""
        counted = run_twins(self, 150, 20)
        self.assertGreater(counted["fast"], 0.15 * counted["histories"])
        self.assertGreater(len(counted), 6, counted)


user: ContextVar[str] = ContextVar("user", default="anonymous")


def yielding(_: object) -> Generator[Deferred[None], None, None]:
    """A generator that waits forever."""
    yield Deferred(lambda _: None)


VARIATIONS: list[dict[str, Any]] = [
    {},
    {"entry points": decorated, "told": "none"},
    {"method": b"POST"},
    {"method": b"HEAD"},
    {"dry_run": True},
    {"listens": "nothing"},
    {"timeouts": (2, None), "hooks": ("on_exit",), "told": "observer"},
    {"timeouts": (2, None), "hooks": ("on_exit",), "hook": "wait"},
    {"monitored": True, "told": "none"},
]
STORIES: list[list[tuple[Any, ...]]] = [
    [("leave",)],
    [("leave",), ("come_to", "text")],
    [("leave",), ("settle", 0, "fail")],
    [("finish",)],
    [("finish",), ("settle", 0, "fail")],
    [("finish",), ("come_to", "text")],
    [("settle", 0, "end")],
    [("settle", 0, "fail")],
    [("cancel",)],
    [("listen", "fire"), ("settle", 0, "end"), ("leave",)],
    [("join", LosingAtOnce, None, False)],
]


class EachTests(SynchronousTestCase):
    """Short histories, not random: each kind of work, however asked for, meets each end."""

    def test_cannot_be_told_apart(self) -> None:
        """Each kind of work meets each end in the same way with the fast path and without it."""
        beginnings = [
            {**SIMPLEST, **each, "kind": kind}
            for kind in [*SIMPLE, *AT_ONCE]
            for each in VARIATIONS
        ]
        fast = run_each(self, beginnings, STORIES)
        self.assertGreater(fast, len(beginnings) * len(STORIES) // 2)


class DifferenceTests(SynchronousTestCase):
    """Differences between the paths that random histories have found."""

    def test_canceller_that_answers(self) -> None:
        """Work that its canceller gives a result counts as completed when its client leaves."""
        visit = Visit(lambda _: Deferred(lambda deferred: deferred.callback(PAGE)))
        visit.disconnect()
        self.assertEqual(visit.outcome.ended, Ended.COMPLETED)

    def test_canceller_that_answers_without_observers(self) -> None:
        """A scope without observers closes if the canceller of its work gives a result."""
        visit = Visit(lambda _: Deferred(lambda deferred: deferred.callback(PAGE)), observers=None)
        visit.disconnect()
        self.assertIs(visit.scope.request, None)

    def test_answered_by_hand_and_nonsense_returned(self) -> None:
        """A result that cannot be sent is an error, even if the response is finished already."""
        work: Deferred[Any] = Deferred()
        visit = Visit(returning(work))
        request: Any = visit.scope.request
        request.finish()
        work.callback("text")
        self.assertEqual(visit.outcome.ended, Ended.FAILED)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_called_by_other_code(self) -> None:
        """A handler stops if its client leaves while a second handler of its request is called."""

        async def waiting_on(_: object) -> None:
            await Deferred[None](lambda _: None)

        def leaving(request: Request) -> Deferred[None]:
            user.set("second")
            visit.disconnect()
            return Deferred(lambda _: None)

        for first in (waiting_on, inlineCallbacks(yielding)):
            seen: list[str] = []
            visit = Visit(first, on_exit=lambda _: seen.append(user.get()))  # noqa: B023
            request: Any = visit.scope.request
            cancel_on_disconnect(leaving)(request)
            self.assertEqual((visit.outcome.ended, seen), (Ended.STOPPED, ["second"]))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_inside_fails_later(self) -> None:
        """A second handler that raises while the first one waits makes the outcome FAILED."""
        visit = Visit(waiting)
        request: Any = visit.scope.request
        inside: Any = cancel_on_disconnect(raising)
        self.assertRaises(ValueError, inside, request)
        visit.disconnect()
        self.assertEqual(visit.outcome.ended, Ended.FAILED)

    def test_lost_after_an_unreported_finish(self) -> None:
        """Work runs on after a loss if its response was finished, even if that was not reported."""
        work: Deferred[bytes] = Deferred()
        visit = Visit(returning(work), observers=None)
        request: Any = visit.scope.request
        request.finished = 1
        visit.disconnect()
        self.assertFalse(work.called)
        self.assertIsNone(visit.scope.cause)
        work.callback(PAGE)
        self.assertIsNone(visit.scope.request)

    def test_finish_that_raises_behind_the_end(self) -> None:
        """An error of `finish` is logged with the handler's name, even if the scope has closed."""

        class Raising(Request):
            def finish(self) -> None:
                super().finish()
                raise ValueError("the request's")

        events = log_events(self)
        work: Deferred[bytes] = Deferred()
        connection_of(Page(cancel_on_disconnect(lambda _: work)), Raising)
        work.callback(PAGE)
        (event,) = of_cancelweb(events)
        self.assertIn("test_finish_that_raises_behind_the_end", event["handler"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_cancelled_by_its_own_write(self) -> None:
        """A scope that is cancelled while its page is written answers with a 503 instead."""

        class Cancelling(Request):
            def write(self, data: bytes) -> None:
                if not self.startedWriting and scope_of(self).cause is None:
                    cancelled.append(scope_of(self).cancel(Draining()))
                super().write(data)

        cancelled: list[bool] = []
        work: Deferred[bytes] = Deferred()
        connection = connection_of(Page(cancel_on_disconnect(lambda _: work)), Cancelling)
        work.callback(PAGE)
        self.assertEqual(cancelled, [True])
        self.assertEqual(connection.response.code, 503)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_timer_is_cancelled_in_the_context_of_the_handler(self) -> None:
        """The canceller of a timer runs in the handler's context, and finds its scope."""
        scopes: list[object] = []

        def handler(_: Request) -> Any:
            call: Any = Clock().callLater(1, int)
            cancel = call.canceller

            def cancelled(call: Any) -> None:
                scopes.append(current_scope())
                cancel(call)

            call.canceller = cancelled
            return call

        visit = Visit(handler, observers=None)
        visit.disconnect()
        self.assertEqual(scopes, [visit.scope])


class Unsettable(Request):
    """A request that does not let its ``write`` be replaced."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "write":
            raise TypeError("not mine")
        super().__setattr__(name, value)


class RaisingMonitor(Watcher):
    """A monitor that raises when a scope closes, which it must not."""

    def scope_closed(self, scope: Any) -> tuple[()]:
        """Raise."""
        raise SystemExit("the monitor's")


@define(eq=False)
class Listener:
    """A listener of `notifyFinish` that is not a Deferred, and notes what it is told."""

    told: list[str] = field(factory=list)

    def callback(self, _: object) -> None:
        """The response is finished."""
        self.told.append("finished")

    def errback(self, _: Failure) -> None:
        """The client has left."""
        self.told.append("lost")


class RaisingListener(Listener):
    """A listener that raises when the client has left."""

    def errback(self, failure: Failure) -> None:
        """Raise."""
        super().errback(failure)
        raise ValueError("the listener's")


def connection_of(root: Any, kind: type[Request] = Request) -> Connection:
    """A connection that has asked a Site with this class of requests for a page."""
    clock: Any = Clock()
    connection = connect(Site(root, requestFactory=kind, reactor=clock), clock)
    connection.get()
    return connection


class EscapeTests(SynchronousTestCase):
    """Errors in cancelweb at the end of a request are logged, and do not escape into Twisted."""

    def assert_tells_the_others(self, end: Callable[[Connection, Any], object], told: str) -> None:
        """Another listener is told about the end, though cancelweb's own listener fails."""
        listener = Listener()

        requests: list[Request] = []

        def handler(request: Request) -> Deferred[bytes]:
            requests.append(request)
            request.notifications.append(listener)  # type: ignore[arg-type]
            return Deferred()

        end(connection_of(Page(cancel_on_disconnect(handler)), Unsettable), requests[0])
        self.assertEqual(listener.told, [told])
        self.assertTrue(self.flushLoggedErrors(TypeError))

    def test_a_loss_that_cannot_be_handled(self) -> None:
        """Other listeners are told about a loss if the request cannot be guarded."""
        self.assert_tells_the_others(lambda connection, _: connection.disconnect(), "lost")

    def test_a_finish_that_cannot_be_handled(self) -> None:
        """Other listeners are told about a finish if the request cannot be guarded."""
        self.assert_tells_the_others(lambda _, request: request.finish(), "finished")

    def test_a_loss_that_is_told_without_a_failure(self) -> None:
        """Test doubles tell a loss as an exception, or as nothing."""
        for hooks in ([], [repr]):
            for told in (ConnectionLost(), None, Failure(ConnectionLost())):
                requests: list[Any] = []
                causes: list[Any] = []

                def handler(request: Request) -> Deferred[bytes]:
                    requests.append(request)  # noqa: B023
                    return Deferred()

                observers = [lambda outcome: causes.append(outcome.cause)]  # noqa: B023
                decorate = cancel_on_disconnect(observers=observers, on_exit=hooks)
                connection_of(Page(decorate(handler)))
                requests[0].notifications[0].errback(told)
                failure = causes[0].failure
                is_wrapped = isinstance(told, Exception) and not isinstance(told, Failure)
                self.assertIs(failure.value if is_wrapped else failure, told)

    def test_a_monitor_that_raises(self) -> None:
        """A monitor that raises SystemExit when a scope closes is logged, and nothing escapes."""
        monitor = RaisingMonitor(Journal())
        connection = connection_of(
            CancellingResource(Page(returning(NOT_DONE_YET)), monitor=monitor)
        )
        connection.disconnect()
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def test_a_hook_that_raises(self) -> None:
        """A hook that raises SystemExit, at a loss or a finish, is logged, and nothing escapes."""

        def hook(_: object) -> None:
            raise SystemExit("the hook's")

        for end in (lambda each: each.disconnect(), lambda each: each.scope.request.finish()):
            end(Visit(returning(NOT_DONE_YET), on_exit=hook))
            self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)


class AnswerTests(SynchronousTestCase):
    """Answers that cannot be sent do not leave a scope open."""

    def answered_by(self, kind: type[Request]) -> list[Ended]:
        """How requests of this class end, once their work has come to a page."""
        work: Deferred[bytes] = Deferred()
        ended: list[Ended] = []
        handler = cancel_on_disconnect(observers=lambda outcome: ended.append(outcome.ended))
        connection = connection_of(Page(handler(returning(work))), kind)
        work.callback(PAGE)
        if connection.is_aborted:
            connection.disconnect()
        return ended

    def test_a_write_that_raises(self) -> None:
        """A request whose `write` raises has failed, and the error is logged."""

        class Raising(Request):
            def write(self, data: bytes) -> None:
                raise ValueError("the request's")

        self.assertEqual(self.answered_by(Raising), [Ended.FAILED])
        self.assertTrue(self.flushLoggedErrors(ValueError))

    def test_a_finish_that_reports_nothing(self) -> None:
        """A request whose `finish` reports nothing to its listeners has completed."""

        class Unreported(Request):
            def finish(self) -> None:
                self.finished = 1

        self.assertEqual(self.answered_by(Unreported), [Ended.COMPLETED])

    def test_bytes_that_a_hook_has_answered(self) -> None:
        """A hook that finishes the request answers in place of the handler's bytes."""

        def hook(scope: Any) -> None:
            scope.request.write(b"the hook's")
            scope.request.finish()

        connection = connection_of(Page(cancel_on_disconnect(on_exit=hook)(returning(PAGE))))
        self.assertEqual(connection.response.body, b"the hook's")


class RareTests(SynchronousTestCase):
    """Events that are rare on the fast path."""

    def test_told_of_an_end_once_more(self) -> None:
        """A closed scope ignores any further report of an end."""
        visit = Visit(waiting, observers=None)
        visit.disconnect()
        scope: Any = visit.scope
        scope.callback(None)
        scope.errback(Failure(ValueError()))
        self.assertIs(scope.request, None)

    def test_a_finish_that_cannot_be_guarded(self) -> None:
        """The error of a finished request that cannot be guarded is logged once."""
        requests: list[Request] = []

        def handler(request: Request) -> Deferred[bytes]:
            requests.append(request)
            return Deferred()

        connection_of(Page(cancel_on_disconnect(handler)), Unsettable)
        requests[0].finish()
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_a_hook_that_the_canceller_adds(self) -> None:
        """A hook that the canceller of the work adds runs."""
        hooked: list[object] = []

        def handler(_: Request) -> Deferred[bytes]:
            scope = current_scope()

            def cancelled(_: Deferred[bytes]) -> None:
                scope.on_exit(hooked.append)

            return Deferred(cancelled)

        visit = Visit(handler, observers=None)
        visit.disconnect()
        self.assertEqual(hooked, [visit.scope])

    def test_work_that_the_canceller_of_a_timer_tracks(self) -> None:
        """Work that the canceller of a timer tracks is stopped, and the scope closes at once."""
        clock: Any = Clock()
        tracked: Deferred[None] = Deferred()

        def handler(_: Request) -> Any:
            call: Any = clock.callLater(1, int)
            scope, cancel = current_scope(), call.canceller

            def cancelled(call: Any) -> None:
                scope.track(tracked)
                cancel(call)

            call.canceller = cancelled
            return call

        visit = Visit(handler, observers=None)
        visit.disconnect()
        self.assertTrue(tracked.called)
        self.assertIs(visit.scope.request, None)

    def test_a_coroutine_that_has_ended(self) -> None:
        """A closed scope does not refer to a coroutine that has ended."""
        coroutines: list[ref[Any]] = []
        work: Deferred[bytes] = Deferred()

        async def answer() -> bytes:
            return await work

        def handler(_: Request) -> Any:
            coroutine = answer()
            coroutines.append(ref(coroutine))
            return coroutine

        visit = Visit(handler, observers=None)
        work.callback(PAGE)
        self.assertIs(visit.scope.request, None)
        self.assertIs(coroutines[0](), None)

    def test_a_timer_whose_canceller_raises(self) -> None:
        """A timer whose canceller raises is logged, and survives if it is still set after 5 s."""
        clock: Any = Clock()

        def handler(_: Request) -> Any:
            call: Any = clock.callLater(9, int)
            call.canceller = lambda _: 1 / 0
            return call

        visit = Visit(handler, observers=None)
        visit.disconnect()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        events = log_events(self)
        visit.clock.advance(4.9)
        self.assertIsNot(visit.scope.request, None)
        visit.clock.advance(0.1)
        self.assertRegex(formatEvent(of_cancelweb(events)[-1]), "^GET /: survived after 5.000 s")


class NotifyFinishTests(SynchronousTestCase):
    """Requests with a `notifyFinish` of their own: cancelweb calls it."""

    def assert_is_cancelled(self, connection: Connection, work: Deferred[bytes]) -> None:
        """The work is stopped when the client leaves."""
        connection.disconnect()
        self.assertTrue(work.called)

    def test_of_a_class(self) -> None:
        """A `notifyFinish` that the request's class overrides is called once, and work stops."""
        asked: list[object] = []

        class Counting(Request):
            def notifyFinish(self) -> Any:
                asked.append(self)
                return super().notifyFinish()

        work: Deferred[bytes] = Deferred()
        connection = connection_of(Page(cancel_on_disconnect(returning(work))), Counting)
        self.assert_is_cancelled(connection, work)
        self.assertEqual(len(asked), 1)

    def test_of_an_instance(self) -> None:
        """A `notifyFinish` that is set on the request is called once, and work stops."""
        asked: list[object] = []
        work: Deferred[bytes] = Deferred()
        entry_point: Any = cancel_on_disconnect(returning(work))

        def render(request: Any) -> object:
            real = request.notifyFinish

            def ask() -> Any:
                asked.append(request)
                return real()

            request.notifyFinish = ask
            return entry_point(request)

        self.assert_is_cancelled(connection_of(Page(render)), work)
        self.assertEqual(len(asked), 1)

    def test_of_a_double(self) -> None:
        """Work of a test double is stopped when the double's own `notifyFinish` fails."""
        request: Any = DummyRequest([b""])
        work: Deferred[bytes] = Deferred()
        entry_point: Any = cancel_on_disconnect(returning(work))
        self.assertIs(entry_point(request), NOT_DONE_YET)
        request.processingFailed(Failure(ValueError("left")))
        self.assertTrue(work.called)


class OrderTests(SynchronousTestCase):
    """When other listeners are told about an end, and in which state they find the request."""

    def setUp(self) -> None:
        """Note what happens."""
        self.happened: list[str] = []

    def listen(self, request: Request, name: str) -> None:
        """Add a listener that touches the request, if the request is guarded."""

        def told(result: object) -> None:
            how = "lost" if isinstance(result, Failure) else "finished"
            guarded = "write" in vars(request)
            self.happened.append(f"{name}: {how}, guarded: {guarded}")
            if guarded:
                request.write(b"late")
                request.finish()

        request.notifyFinish().addBoth(told)

    def visit(self) -> Visit:
        """Visit a page with a listener before cancelweb's listener, and one after it."""

        def handler(request: Request) -> Deferred[bytes]:
            self.listen(request, "before")
            return Deferred(lambda _: self.happened.append("cancelled"))

        visit = Visit(handler, observers=None)
        request: Any = visit.scope.request
        self.listen(request, "after")
        return visit

    def test_a_loss(self) -> None:
        """All listeners find a lost request guarded, and are told before the work is cancelled."""
        visit = self.visit()
        visit.disconnect()
        told = ["before: lost, guarded: True", "after: lost, guarded: True", "cancelled"]
        self.assertEqual(self.happened, told)

    def test_a_finish(self) -> None:
        """All listeners find a finished request unguarded; it is guarded after the last of them."""
        visit = self.visit()
        request: Any = visit.scope.request
        request.finish()
        told = ["before: finished, guarded: False", "after: finished, guarded: False"]
        self.assertEqual(self.happened, told)
        request.write(b"late")

    def test_one_that_raises(self) -> None:
        """An error of a listener at a loss escapes, as in Twisted, but the request is guarded."""
        listener = RaisingListener()

        def handler(request: Request) -> Deferred[bytes]:
            request.notifications.append(listener)  # type: ignore[arg-type]
            return Deferred()

        plain = connection_of(Page(lambda request: handler(request) and NOT_DONE_YET))
        self.assertRaises(ValueError, plain.disconnect)
        visit = Visit(handler)
        request: Any = visit.scope.request
        self.assertRaises(ValueError, visit.disconnect)
        request.write(b"late")
        request.finish()

    def test_one_that_raises_delays_the_cancel(self) -> None:
        """Work is cancelled in the next turn if a listener raises at a loss."""
        work: Deferred[bytes] = Deferred()

        def handler(request: Request) -> Deferred[bytes]:
            request.notifications.append(RaisingListener())  # type: ignore[arg-type]
            return work

        visit = Visit(handler)
        self.assertRaises(ValueError, visit.disconnect)
        visit.clock.advance(0)
        self.assertTrue(work.called)

    def test_a_deadline(self) -> None:
        """At a deadline, other listeners are told about a loss after the work is cancelled."""
        visit = self.visit()
        request: Any = visit.scope.request
        inside: Any = cancel_on_disconnect(timeout=1)(returning(NOT_DONE_YET))
        inside(request)
        visit.clock.advance(1)
        told = ["cancelled", "before: lost, guarded: False", "after: lost, guarded: False"]
        self.assertEqual(self.happened, told)
        self.assertEqual(visit.response.code, 503)
        self.assertIs(visit.scope.request, None)


class FreedTests(SynchronousTestCase):
    """A scope that has closed refers to nothing, whatever ended its request."""

    ENDS: ClassVar[dict[str, Callable[[Connection, Any], object]]] = {
        "left": lambda connection, work: connection.disconnect(),
        "answered": lambda connection, work: work.callback(PAGE),
    }

    def remains(self, end: Callable[[Connection, Any], object], is_coroutine: bool) -> list[object]:
        """What a closed scope keeps alive of the request, the handler and the work."""
        refs: list[ref[Any]] = []
        scopes: list[object] = []

        def live() -> None:
            def handler(request: Request) -> Any:
                work: Deferred[bytes] = Deferred()
                scopes.append(current_scope())
                works.append(work)
                refs.extend(map(ref, (request, work)))
                return awaiting(work) if is_coroutine else work

            works: list[Deferred[bytes]] = []
            refs.append(ref(handler))
            connection = connection_of(Page(cancel_on_disconnect(handler)))
            end(connection, works[0])
            connection.client.clock.advance(1)
            connection.disconnect()

        live()
        return [each() for each in refs if each() is not None]

    def test_is_freed(self) -> None:
        """A closed scope keeps no request, handler or work alive, even without the collector."""
        gc.disable()
        self.addCleanup(gc.enable)
        for name, end in self.ENDS.items():
            for is_coroutine in (False, True):
                self.assertEqual(self.remains(end, is_coroutine), [], name)


async def awaiting(work: Deferred[bytes]) -> bytes:
    """A coroutine that waits for a Deferred."""
    return await work
