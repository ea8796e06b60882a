"""What an entry point asks of Twisted for a request: as little as there is need for.

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
        """Note every call of `notifyFinish`."""
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
        """No `notifyFinish` is asked for, and no timer is set, where bytes come at once."""
        connection = self.ask(Page(cancel_on_disconnect(lambda _: b"page")))
        plain = self.ask(Page(lambda _: b"page"))
        self.assertEqual(self.subscribed, [])
        self.assertEqual(
            len(connection.client.clock.getDelayedCalls()),
            len(plain.client.clock.getDelayedCalls()),
        )

    def test_subscribes_once(self) -> None:
        """A handler that waits subscribes once, however many entry points there are."""
        decorated = cancel_on_disconnect(cancel_on_disconnect(waiting))
        connection = self.ask(CancellingResource(Page(decorated)))
        self.assertEqual(len(self.subscribed), 1)
        connection.disconnect()

    def test_lets_go_without_observers(self) -> None:
        """A request that nobody is told of is let go of when its timer has run."""
        requests: list[Any] = []

        def handler(request: Request) -> Any:
            requests.append(request)
            return clock.callLater(1, request.finish)

        clock = Clock()
        connect(Page(cancel_on_disconnect(handler)), clock).get()
        clock.advance(1)
        self.assertIs(scope_of(requests[0]).request, None)
