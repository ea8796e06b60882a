"""What a door asks of Twisted for a request: as little as there is need for.

The doors themselves are for `test_decorator` and `test_wrapper`.
"""

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request, Site

from cancelweb import CancellingResource, cancel_on_disconnect, scope_of

from .._inmemory import Client
from .._scopes import Leaf, waiting


class PayForWhatYouUseTests(SynchronousTestCase):
    """A handler that returns bytes costs nothing but its scope."""

    def setUp(self) -> None:
        """Note every call of `notifyFinish`."""
        self.subscribed: list[object] = []

    def ask(self, resource: Any) -> Client:
        """Ask for a page."""
        subscribed = self.subscribed

        class Watched(Request):
            def notifyFinish(self) -> Any:
                subscribed.append(self)
                return super().notifyFinish()

        clock: Any = Clock()
        client = Client(Site(resource, requestFactory=Watched, reactor=clock), clock)
        client.request()
        return client

    def test_subscribes_to_nothing(self) -> None:
        """No `notifyFinish` is asked for, and no timer is set, where bytes come at once."""
        client = self.ask(Leaf(cancel_on_disconnect(lambda _: b"page")))
        plain = self.ask(Leaf(lambda _: b"page"))
        self.assertEqual(self.subscribed, [])
        self.assertEqual(len(client.clock.getDelayedCalls()), len(plain.clock.getDelayedCalls()))

    def test_subscribes_once(self) -> None:
        """A handler that waits subscribes once, however many doors there are."""
        decorated = cancel_on_disconnect(cancel_on_disconnect(waiting))
        client = self.ask(CancellingResource(Leaf(decorated)))
        self.assertEqual(len(self.subscribed), 1)
        client.disconnect()

    def test_lets_go_without_observers(self) -> None:
        """A request that nobody is told of is let go of when its timer has run."""
        requests: list[Any] = []

        def handler(request: Request) -> Any:
            requests.append(request)
            return clock.callLater(1, request.finish)

        clock = Clock()
        Client(Leaf(cancel_on_disconnect(handler)), clock).request()
        clock.advance(1)
        self.assertIs(scope_of(requests[0]).request, None)
