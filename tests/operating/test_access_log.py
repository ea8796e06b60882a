"""The access log of a request whose client left: `access_log_499`.

What cancelweb itself logs is for `scopes.test_logging`.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.filepath import FilePath
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site

from cancelweb import (
    Disconnected,
    Draining,
    Outcome,
    Scope,
    access_log_499,
    cancel_on_disconnect,
    current_scope,
)
from cancelweb.monitor import Monitor
from cancelweb.testing import Connection

from .._pages import Page, waiting
from .._visits import connect


class AccessLogTests(SynchronousTestCase):
    """The hook `access_log_499`, on a site that writes an access log."""

    def setUp(self) -> None:
        """Make an empty access log."""
        self.log = FilePath(self.mktemp())
        self.log.touch()

    def serve(self, handler: Any, **options: Any) -> Connection:
        """Ask for a page whose handler has the hook `access_log_499`."""
        clock: Any = Clock()
        page = Page(cancel_on_disconnect(on_cancel=access_log_499, **options)(handler))
        site = Site(page, logPath=self.log.path, reactor=clock)
        site.startFactory()
        self.addCleanup(site.stopFactory)
        connection = connect(site, clock)
        connection.get(path=b"/page?q=1", headers={b"User-Agent": b"test", b"Referer": b"/"})
        return connection

    @property
    def lines(self) -> list[str]:
        """The lines of the access log."""
        return self.log.getContent().decode().splitlines()

    def test_a_client_that_left(self) -> None:
        """A client that leaves has one line in Combined Log Format, with status 499."""
        connection = self.serve(waiting)
        connection.disconnect()
        connection.client.clock.advance(20)
        self.assertEqual(
            self.lines,
            [
                '"127.0.0.1" - - [01/Jan/1970:00:00:00 +0000] "GET /page?q=1 HTTP/1.1" 499 - '
                '"/" "test"'
            ],
        )

    def test_the_bytes_that_were_sent(self) -> None:
        """The line with 499 has the number of bytes of the body that were sent."""

        def handler(request: Any) -> Deferred[bytes]:
            request.write(b"12345")
            return Deferred()

        self.serve(handler).disconnect()
        self.assertEqual(len(self.lines), 1)
        self.assertIn(" 499 5 ", self.lines[0])

    def test_the_outcome(self) -> None:
        """The outcome has the status that was sent, although the access log has 499."""
        outcomes: list[Outcome] = []

        def handler(request: Any) -> Deferred[bytes]:
            request.setResponseCode(206)
            request.write(b"12345")
            return Deferred()

        self.serve(handler, observers=outcomes.append).disconnect()
        self.assertEqual([each.status for each in outcomes], [206])
        self.assertIn(" 499 5 ", self.lines[0])

    def test_a_log_that_fails(self) -> None:
        """The outcome has the status that was sent, although the access log cannot be written."""
        outcomes: list[Outcome] = []

        def handler(request: Any) -> Deferred[bytes]:
            request.write(b"12345")
            request.site.log = None
            return Deferred()

        self.serve(handler, observers=outcomes.append).disconnect()
        self.assertEqual([each.status for each in outcomes], [200])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_as_an_observer(self) -> None:
        """Among the observers it writes the same line, and the other observers are told."""
        outcomes: list[Outcome] = []
        decorated = cancel_on_disconnect(observers=[access_log_499, outcomes.append])(waiting)
        self.serve(decorated, on_exit=access_log_499, observers=access_log_499).disconnect()
        self.assertEqual([" 499 - " in each for each in self.lines], [True])
        self.assertEqual([type(each.cause) for each in outcomes], [Disconnected])

    def test_once_for_each_request(self) -> None:
        """However many entry points have the hook, each request has one line."""
        decorated = cancel_on_disconnect(on_exit=access_log_499)
        self.serve(decorated(waiting)).disconnect()
        self.assertEqual(len(self.lines), 1)

    def test_of_a_monitor(self) -> None:
        """A monitor refuses it as an observer, and says where to pass it."""
        with self.assertRaisesRegex(TypeError, "needs the request. .* on_exit=access_log_499"):
            Monitor().add_observer(access_log_499)

    def test_called_with_an_outcome(self) -> None:
        """An outcome has no request, so an observer that calls it gets an error that says so."""
        outcomes: list[Outcome] = []
        self.serve(waiting, observers=outcomes.append).disconnect()
        with self.assertRaisesRegex(TypeError, "takes a scope, not Outcome.* on_exit=access_log_4"):
            access_log_499(outcomes[0])

    def test_on_a_closed_scope(self) -> None:
        """The hook writes nothing for a scope that has closed."""
        kept: list[Scope] = []

        def handler(request: Any) -> bytes:
            kept.append(current_scope())
            return b"page"

        self.serve(handler)
        access_log_499(kept[0])
        self.assertEqual(len(self.lines), 1)

    def test_other_causes(self) -> None:
        """A request that a timeout ends has only Twisted's own line, with 503."""
        connection = self.serve(waiting, timeout=1)
        connection.client.clock.advance(1)
        self.assertEqual(connection.response.code, 503)
        self.assertEqual(len(self.lines), 1)
        self.assertIn(" 503 ", self.lines[0])

    def test_completed(self) -> None:
        """A request that completes has only Twisted's own line, with 200."""
        self.serve(lambda _: b"page")
        self.assertEqual(len(self.lines), 1)
        self.assertIn(" 200 4 ", self.lines[0])

    def test_draining(self) -> None:
        """A request that a drain ends has only Twisted's own line, with 503."""
        kept: list[Scope] = []

        def handler(request: Any) -> Deferred[bytes]:
            kept.append(current_scope())
            return Deferred()

        self.serve(handler)
        kept[0].cancel(Draining())
        self.assertEqual([" 503 " in each for each in self.lines], [True])
