"""What else meets a dead request late: new entry points, and children that lack the method.

What belongs here: how these end, and what is told of them. What does not: handlers that are run for
an entry point which was there before (`test_late_children_told`).
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
        """It runs its own hooks, and the others are told why no handler was run."""
        self.render(b"GET")
        self.assertEqual((self.ran, len(self.own)), ([], 1))
        self.assertEqual(self.second().ended, Ended.REFUSED)

    def test_in_a_dry_run(self) -> None:
        """A dry run of the entry point around it counts for it, too."""
        self.render(b"GET", dry_run=True)
        self.assertEqual((self.ran, len(self.own)), ([b"GET"], 1))
        self.assertEqual(self.second().ended, Ended.COMPLETED)


class UnsupportedMethodTests(SecondScopeTestCase):
    """A late child that does not know the method, and whose client has gone: no error."""

    def test_is_quiet(self) -> None:
        """It is a mistake of the client's alone, and nobody is left to tell."""
        self.leave()
        self.late.callback(GetPage(self.working))
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.second().ended, Ended.COMPLETED)

    def test_a_head_that_twisted_would_fake(self) -> None:
        """Nor is a GET rendered for a HEAD that nobody waits for; it is told once."""
        self.leave(b"HEAD", methods=())
        self.late.callback(NoHead(self.working))
        self.assertEqual((self.ran, self.flushLoggedErrors()), ([], []))
        self.assertEqual(self.second().ended, Ended.COMPLETED)

    def test_a_head_whose_client_waits(self) -> None:
        """Where the client waits, the GET is rendered, and all are told once."""
        connection = connect(self.wrap(DeferredResource(self.late)), self.clock)
        connection.request(b"HEAD")
        self.late.callback(NoHead(lambda _: b"page"))
        self.assertEqual(connection.response.code, 200)
        self.assertEqual((len(self.outcomes), len(self.exits), self.monitor.opened), (1, 1, 1))
