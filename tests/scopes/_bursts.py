"""What the tests of the log in a burst share: clients that leave, and the lines that follow.

What belongs here: a site with the default log, on a clock. What does not: any assertion.
"""

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site

from cancelweb import Disconnected, Ended, Outcome, cancel_on_disconnect
from cancelweb._scopes import bursts

from .._logs import log_events, of_cancelweb
from .._pages import Page, waiting
from .._visits import connect

FIRST = 10
"""How many requests of a second have a line of their own here: fewer than by default."""

LEFT = "the client disconnected (Connection was closed cleanly.)"


def outcome(path: bytes = b"/page", **facts: Any) -> Outcome:
    """The outcome of a request whose client left."""
    facts = {"cause": Disconnected(), "ended": Ended.STOPPED, "failure": None, **facts}
    return Outcome(b"GET", path, opened=0, cancelled=0, stopped=0, closed=0, **facts)


class BurstTestCase(SynchronousTestCase):
    """A site with the default log, and clients that leave it."""

    def setUp(self) -> None:
        """Watch the log."""
        self.events = log_events(self)
        self.patch(bursts, "FIRST", FIRST)
        self.clock = Clock()

    def leave(
        self,
        number: int,
        path: bytes = b"/page",
        *,
        handler: Callable[[Any], object] = waiting,
        method: bytes = b"GET",
        **options: Any,
    ) -> None:
        """Have this many clients ask for a page and leave."""
        root = Page(cancel_on_disconnect(**options)(handler))
        site = Site(root, reactor=cast(Any, self.clock))
        for _ in range(number):
            connection = connect(site, self.clock)
            connection.request(method=method, path=path)
            connection.disconnect()

    def taken(self) -> list[LogEvent]:
        """The events of cancelweb since the last call."""
        events = of_cancelweb(self.events)
        self.events.clear()
        return events

    def lines(self) -> list[str]:
        """The lines that cancelweb has logged since the last call."""
        return [formatEvent(each) for each in self.taken()]

    def counted(self) -> str:
        """The line that counts the requests of this second; it must be the only one."""
        self.taken()
        self.clock.advance(1)
        (line,) = self.lines()
        return line
