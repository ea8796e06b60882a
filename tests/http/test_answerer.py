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
    """Fires the Deferred that the framework awaits."""

    scope: RequestScope
    request: Any
    handler: object
    is_outermost: bool
    result: Deferred[Any] = field(factory=Deferred)

    def is_result(self, value: object) -> bool:
        """A view of this framework may return strings, too."""
        return value is None or isinstance(value, bytes | str | Failure)

    def canceller_of(self, work: object) -> Canceller:
        """Nothing but work that cancelweb knows."""
        return canceller_for(work)

    def give_back(self, result: object, is_callers: bool) -> Deferred[Any]:
        """The framework is always given a Deferred."""
        if result is not LATER:
            self.deliver(result)
        return self.result

    def deliver(self, result: object) -> None:
        """A result."""
        if not self.result.called:
            self.result.callback(result)

    def answer_cancel(self, cause: Cause) -> None:
        """There will be no result."""
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
        """Answer."""
        request.write(result.encode() if isinstance(result, str) else result)
        request.finish()

    def outcome(self) -> Outcome:
        """The one that was told."""
        (outcome,) = self.outcomes
        return outcome

    def test_receives_a_result_at_once(self) -> None:
        """What a view returns without waiting is the framework's, of whatever type."""
        views: list[Handler] = [lambda _: PAGE, lambda _: "a page"]
        for view in views:
            connection = self.ask(view)
            self.assertTrue(connection.response.is_complete)
            self.assertIs(self.outcomes.pop().cause, None)

    def test_receives_a_result_later(self) -> None:
        """So is what it comes to later, when that has been waited for."""
        waiting: Deferred[Any] = Deferred()
        connection = self.ask(lambda _: waiting)
        self.assertEqual(self.outcomes, [])
        waiting.callback(PAGE)
        self.assertEqual(connection.response.body, PAGE)
        self.assertIs(self.outcome().cause, None)

    def test_receives_a_failure(self) -> None:
        """So is its failure, at once or later."""
        waiting: Deferred[Any] = Deferred()

        def fails(_: Request) -> bytes:
            raise KeyError

        self.ask(fails).disconnect()
        self.ask(lambda _: waiting)
        waiting.errback(KeyError())
        self.assertEqual([each.type for each in self.errors], [KeyError, KeyError])

    def test_is_told_that_there_is_no_such_work(self) -> None:
        """What cannot be waited for is an error of the view."""
        self.ask(lambda _: object())
        (error,) = self.errors
        self.assertEqual(error.type, TypeError)

    def test_work_is_stopped(self) -> None:
        """When the client leaves, the work is stopped, and the framework is told nothing."""
        errand = Errand()
        connection = self.ask(lambda _: errand)
        connection.disconnect()
        self.assertEqual(errand.asked, [""])
        self.assertIsInstance(self.outcome().cause, Disconnected)
        self.assertEqual(self.errors, [])

    def test_has_the_client_answered(self) -> None:
        """At a deadline, or a cancel, it is told that no result will come, once."""
        errand = Errand()
        connection = self.ask(lambda _: errand, timeout=3)
        connection.client.clock.advance(3)
        self.ask(lambda _: Deferred())
        scope_of(self.request).cancel(Draining())
        causes = [each.value.cause for each in self.errors]  # type: ignore[union-attr]
        self.assertEqual(causes, [TimedOut(3), Draining()])
        self.assertEqual(errand.asked, [""])

    def test_cancels_of_the_views_own(self) -> None:
        """A cancellation that the scope has not caused is a failure like any other."""
        waiting: Deferred[Any] = Deferred()
        self.ask(lambda _: waiting)
        waiting.cancel()
        (error,) = self.errors
        self.assertEqual(error.type, CancelledError)
