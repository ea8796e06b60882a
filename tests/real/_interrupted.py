"""The tutorial's example on a real server: what its clients and its log must tell.

What belongs here: what the tests with clients of our own and with a browser share. What does not:
tests.
"""

from twisted.trial.unittest import TestCase

from .._servers import ALARMING, Server, reactor
from .._sockets import SocketVisit

PATH = "/interrupted.rpy"
PAGE = "Sorry to keep you waiting."
DELAY = 5

# Far less than the delay, and far more than a busy machine needs for "at once".
AT_ONCE = 2.5

CANCELLED = r"\[cancelweb[\w.]*#info\] GET /interrupted\.rpy: stopped"
OF_CANCELWEB = r"\[cancelweb\b"
ANSWERED = r'"GET /interrupted\.rpy HTTP/[\d.]+" 200 '


class InterruptedTestCase(TestCase):
    """A test whose server reports its requests in its log."""

    timeout = 60

    async def leave_early(self, server: Server) -> None:
        """Visit the page and leave without it; the server cancels at once."""
        leaver = await server.connect(SocketVisit(PATH))
        leaver.leave()
        await self.assert_cancelled(server)
        self.assertEqual(await leaver.closed, b"")

    async def wait_for_page(self, server: Server) -> None:
        """Visit the page, and wait for it and for its line in the log."""
        asked = reactor.seconds()
        waiter = await server.connect(SocketVisit(PATH))
        answer = await waiter.closed
        self.assertGreaterEqual(reactor.seconds() - asked, DELAY)
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
        self.assertIn(PAGE.encode(), answer)
        await server.log.expect(ANSWERED)

    async def assert_cancelled(self, server: Server) -> None:
        """The log tells that a call was cancelled, long before it was due."""
        await server.log.expect(CANCELLED, within=AT_ONCE)

    async def assert_nothing_else(self, server: Server) -> None:
        """The log tells no more of an abandoned request, not even when it was due.

        The request was due before a page that is asked for now.
        """
        await self.wait_for_page(server)
        self.assert_told(server, abandoned=1, answered=1)

    def assert_told(self, server: Server, *, abandoned: int, answered: int) -> None:
        """The log has a line for each request, and nothing above info."""
        told = server.log.matching(OF_CANCELWEB)
        self.assertEqual(told, server.log.matching(CANCELLED))
        self.assertEqual(len(told), abandoned, told)
        self.assertEqual(len(server.log.matching(ANSWERED)), answered)
        self.assertEqual(server.log.matching(ALARMING), [])
