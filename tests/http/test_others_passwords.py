"""A page behind `HTTPAuthSessionWrapper`, which delivers it late, below a wrapper.

Other late children are for `test_late_children`.
"""

from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.iweb import ICredentialFactory
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request
from zope.interface import implementer

from cancelweb import (
    CancellingResource,
    Disconnected,
    Ended,
    Outcome,
)

from .._pages import Page
from .._visits import connect


@implementer(IRealm)
class Realm:
    """A realm in which all users get the same page."""

    def __init__(self, page: Resource) -> None:
        self._page = page

    def requestAvatar(self, avatar_id: object, mind: object, *interfaces: Any) -> Any:
        """Hand out the page."""
        return IResource, self._page, lambda: None


class SlowChecker(InMemoryUsernamePasswordDatabaseDontUse):
    """A checker of passwords that waits until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__(user=b"password")
        self.go: Deferred[None] = Deferred()

    def requestAvatarId(self, credentials: Any) -> Any:
        """Wait, and then check the password."""
        return self.go.addCallback(
            lambda _: InMemoryUsernamePasswordDatabaseDontUse.requestAvatarId(self, credentials)
        )


class PasswordTests(SynchronousTestCase):
    """`HTTPAuthSessionWrapper`, below a wrapper."""

    def setUp(self) -> None:
        """Wrap a page behind a password, whose handler waits."""
        self.result: Deferred[bytes] = Deferred(lambda _: None)
        self.ran: list[Request] = []
        self.outcomes: list[Outcome] = []
        self.checker = SlowChecker()
        portal = Portal(Realm(Page(self.render)), [self.checker])
        factory: ICredentialFactory = BasicCredentialFactory(b"realm")
        guarded = HTTPAuthSessionWrapper(portal, [factory])
        self.connection = connect(CancellingResource(guarded, observers=self.outcomes.append))

    def render(self, request: Request) -> Deferred[bytes]:
        """Note the request, and wait."""
        self.ran.append(request)
        return self.result

    def log_in(self, password: bytes = b"dXNlcjpwYXNzd29yZA==") -> None:
        """Ask for the page, as user:password."""
        self.connection.get(headers={b"Authorization": b"Basic " + password})

    def test_completes(self) -> None:
        """A wrapped page behind a password may return a Deferred."""
        self.log_in()
        self.checker.go.callback(None)
        self.result.callback(b"page")
        self.assertEqual(self.connection.response.body, b"page")

    def test_unauthorized(self) -> None:
        """A wrapped page behind a password answers with a 401 if there is no password."""
        self.connection.get()
        self.assertEqual(self.connection.response.code, 401)

    def test_leaves_while_the_page_is_made(self) -> None:
        """The work of a page behind a password stops when the client leaves."""
        self.log_in()
        self.checker.go.callback(None)
        self.connection.disconnect()
        self.assertTrue(self.result.called)
        self.assertEqual([each.ended for each in self.outcomes], [Ended.STOPPED])

    def test_leaves_while_the_password_is_checked(self) -> None:
        """A page is not made if its client leaves while the password is checked."""
        self.log_in()
        self.connection.disconnect()
        self.checker.go.callback(None)
        self.assertEqual(self.ran, [])
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertIsInstance(self.outcomes[0].cause, Disconnected)
