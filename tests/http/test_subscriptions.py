"""How often entry points call `notifyFinish`: only as often as they need.

The entry points themselves are for `test_decorator` and `test_wrapper`.
"""

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request, Site

from cancelweb import CancellingResource, cancel_on_disconnect, scope_of
from cancelweb.testing import Connection

from .._pages import Page, waiting
from .._visits import connect


class PayForWhatYouUseTests(SynchronousTestCase):
    """A handler that returns bytes costs nothing but its scope."""

    def setUp(self) -> None:
        """Create the list of all calls of `notifyFinish`."""
        self.subscribed: list[object] = []

    def ask(self, resource: Any) -> Connection:
        """Ask for a page."""
        subscribed = self.subscribed

        class Watched(Request):
            def notifyFinish(self) -> Any:
                subscribed.append(self)
                return super().notifyFinish()

        clock: Any = Clock()
        connection = connect(Site(resource, requestFactory=Watched, reactor=clock), clock)
        connection.get()
        return connection

    def test_subscribes_to_nothing(self) -> None:
        """A handler that returns bytes causes no call of `notifyFinish`, and no timer."""
        connection = self.ask(Page(cancel_on_disconnect(lambda _: b"page")))
        plain = self.ask(Page(lambda _: b"page"))
        self.assertEqual(self.subscribed, [])
        self.assertEqual(
            len(connection.client.clock.getDelayedCalls()),
            len(plain.client.clock.getDelayedCalls()),
        )

    def test_subscribes_once(self) -> None:
        """A handler that waits causes one call of `notifyFinish`, behind several entry points."""
        decorated = cancel_on_disconnect(cancel_on_disconnect(waiting))
        connection = self.ask(CancellingResource(Page(decorated)))
        self.assertEqual(len(self.subscribed), 1)
        connection.disconnect()

    def test_lets_go_without_observers(self) -> None:
        """A scope lets go of its request when the returned timer has finished the response."""
        requests: list[Any] = []

        def handler(request: Request) -> Any:
            requests.append(request)
            return clock.callLater(1, request.finish)

        clock = Clock()
        connect(Page(cancel_on_disconnect(handler)), clock).get()
        clock.advance(1)
        self.assertIs(scope_of(requests[0]).request, None)
