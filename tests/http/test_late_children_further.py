"""New entry points, and late children without the method, that meet a dead request.

What belongs here: how they end, and what is told about them. What does not: handlers of entry
points that had met the request when it was alive (`test_late_children_told`).
"""

from typing import Any

from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.util import DeferredResource

from cancelweb import Ended, Scope, cancel_on_disconnect

from .._pages import GetPage, NoHead, Page
from .._visits import connect
from ._second_scopes import SecondScopeTestCase


class FurtherEntryPointTests(SecondScopeTestCase):
    """An entry point that meets the dead request for the first time."""

    def setUp(self) -> None:
        super().setUp()
        self.own: list[Scope] = []
        self.requests: list[Request] = []

    def keep(self, request: Request) -> int:
        """A handler whose request is rendered by other code later."""
        self.requests.append(request)
        return NOT_DONE_YET

    def render(self, method: bytes, **options: Any) -> None:
        """Leave the request, and then render it with a decorated handler."""
        connection = connect(self.wrap(Page(self.keep), **options), self.clock)
        connection.request(method)
        connection.disconnect()
        decorate = cancel_on_disconnect(on_exit=self.own.append, observers=())
        decorate(self.working)(self.requests[0])
        self.clock.advance(1)

    def test_is_refused(self) -> None:
        """A new entry point on a dead request runs its hook, and the outcome is REFUSED."""
        self.render(b"GET")
        self.assertEqual((self.ran, len(self.own)), ([], 1))
        self.assertEqual(self.second().ended, Ended.REFUSED)

    def test_in_a_dry_run(self) -> None:
        """A new entry point on a dead request runs its handler in the dry run of an outer one."""
        self.render(b"GET", dry_run=True)
        self.assertEqual((self.ran, len(self.own)), ([b"GET"], 1))
        self.assertEqual(self.second().ended, Ended.COMPLETED)


class UnsupportedMethodTests(SecondScopeTestCase):
    """A late child that lacks the method of its request, whose client has left: no error."""

    def test_is_quiet(self) -> None:
        """A method that a late child lacks is not an error once the client has left."""
        self.leave()
        self.late.callback(GetPage(self.working))
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.second().ended, Ended.COMPLETED)

    def test_a_head_that_twisted_would_fake(self) -> None:
        """A HEAD that Twisted would fake is not rendered once the client has left."""
        self.leave(b"HEAD", methods=())
        self.late.callback(NoHead(self.working))
        self.assertEqual((self.ran, self.flushLoggedErrors()), ([], []))
        self.assertEqual(self.second().ended, Ended.COMPLETED)

    def test_a_head_whose_client_waits(self) -> None:
        """A HEAD that Twisted fakes is rendered for a client that waits, and told once."""
        connection = connect(self.wrap(DeferredResource(self.late)), self.clock)
        connection.request(b"HEAD")
        self.late.callback(NoHead(lambda _: b"page"))
        self.assertEqual(connection.response.code, 200)
        self.assertEqual((len(self.outcomes), len(self.exits), self.monitor.opened), (1, 1, 1))
