"""The seam for the answerer: a framework that awaits what its view returns receives the result.

What belongs here: what an answerer is asked, and when, shown by a small framework of this kind.
What does not: Twisted's own answerer, which all other tests use.
"""

from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import Cause, Disconnected, Draining, Outcome, ScopeCancelled, TimedOut, scope_of
from cancelweb._http.answerer import LATER
from cancelweb._http.request_scope import RequestScope
from cancelweb._http.serving import serve_for
from cancelweb._kinds.cancellers import Canceller
from cancelweb._kinds.registry import canceller_for
from cancelweb._scopes.options import checked_options
from cancelweb.testing import Connection

from .._pages import PAGE, Handler, Page
from .._visits import connect
from .._work import Errand


@define(eq=False)
class FrameworksAnswerer:
    """An answerer that fires the Deferred which a framework awaits."""

    scope: RequestScope
    request: Any
    handler: object
    is_outermost: bool
    result: Deferred[Any] = field(factory=Deferred)

    def is_result(self, value: object) -> bool:
        """Views of this framework may also return strings."""
        return value is None or isinstance(value, bytes | str | Failure)

    def canceller_of(self, work: object) -> Canceller:
        """Accept only work that cancelweb knows."""
        return canceller_for(work)

    def give_back(self, result: object, is_callers: bool) -> Deferred[Any]:
        """Always give the framework a Deferred."""
        if result is not LATER:
            self.deliver(result)
        return self.result

    def deliver(self, result: object) -> None:
        """Fire the Deferred with a result, once."""
        if not self.result.called:
            self.result.callback(result)

    def answer_cancel(self, cause: Cause) -> None:
        """Fail the Deferred with the cause: there will be no result."""
        self.deliver(Failure(ScopeCancelled(cause)))


class AnswererTests(SynchronousTestCase):
    """A framework that awaits its view, and finishes the request itself."""

    def setUp(self) -> None:
        self.outcomes: list[Outcome] = []
        self.errors: list[Failure] = []

    def ask(self, view: Handler, **options: Any) -> Connection:
        """Ask for a page that the framework makes of what a view returns."""
        checked = checked_options(observers=self.outcomes.append, any_method=True, **options)

        def render(request: Request) -> int:
            self.request = request
            awaited: Any = serve_for(FrameworksAnswerer, checked, request, view, (request,), {})
            awaited.addCallback(self.finish, request).addErrback(self.errors.append)
            return NOT_DONE_YET

        connection = connect(Page(render))
        connection.get()
        return connection

    def finish(self, result: bytes | str, request: Any) -> None:
        """Write the view's result, and finish the request."""
        request.write(result.encode() if isinstance(result, str) else result)
        request.finish()

    def outcome(self) -> Outcome:
        """The only outcome."""
        (outcome,) = self.outcomes
        return outcome

    def test_receives_a_result_at_once(self) -> None:
        """A framework receives what its view returns at once, bytes or text."""
        views: list[Handler] = [lambda _: PAGE, lambda _: "a page"]
        for view in views:
            connection = self.ask(view)
            self.assertTrue(connection.response.is_complete)
            self.assertIs(self.outcomes.pop().cause, None)

    def test_receives_a_result_later(self) -> None:
        """A framework receives the result of its view's Deferred when that Deferred fires."""
        waiting: Deferred[Any] = Deferred()
        connection = self.ask(lambda _: waiting)
        self.assertEqual(self.outcomes, [])
        waiting.callback(PAGE)
        self.assertEqual(connection.response.body, PAGE)
        self.assertIs(self.outcome().cause, None)

    def test_receives_a_failure(self) -> None:
        """A framework receives the error of a view that raises or whose Deferred fails."""
        waiting: Deferred[Any] = Deferred()

        def fails(_: Request) -> bytes:
            raise KeyError

        self.ask(fails).disconnect()
        self.ask(lambda _: waiting)
        waiting.errback(KeyError())
        self.assertEqual([each.type for each in self.errors], [KeyError, KeyError])

    def test_is_told_that_there_is_no_such_work(self) -> None:
        """A framework receives a TypeError for a view that returns an unknown kind of object."""
        self.ask(lambda _: object())
        (error,) = self.errors
        self.assertEqual(error.type, TypeError)

    def test_work_is_stopped(self) -> None:
        """When the client leaves, the view's work is stopped, and the framework is told nothing."""
        errand = Errand()
        connection = self.ask(lambda _: errand)
        connection.disconnect()
        self.assertEqual(errand.asked, [""])
        self.assertIsInstance(self.outcome().cause, Disconnected)
        self.assertEqual(self.errors, [])

    def test_has_the_client_answered(self) -> None:
        """At a deadline or a cancel, a framework receives one error, which has the cause."""
        errand = Errand()
        connection = self.ask(lambda _: errand, timeout=3)
        connection.client.clock.advance(3)
        self.ask(lambda _: Deferred())
        scope_of(self.request).cancel(Draining())
        causes = [each.value.cause for each in self.errors]  # type: ignore[union-attr]
        self.assertEqual(causes, [TimedOut(3), Draining()])
        self.assertEqual(errand.asked, [""])

    def test_cancels_of_the_views_own(self) -> None:
        """A framework receives a CancelledError that its view's scope did not cause."""
        waiting: Deferred[Any] = Deferred()
        self.ask(lambda _: waiting)
        waiting.cancel()
        (error,) = self.errors
        self.assertEqual(error.type, CancelledError)
