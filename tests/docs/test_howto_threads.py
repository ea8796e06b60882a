"""The page on threads: the calls that it shows for code in a thread, made in one.

What belongs here: the calls in the text of the page. What does not: its program, which is one of
the examples.
"""

import re
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import blockingCallFromThread

from cancelweb import Outcome, cancel_on_disconnect, current_scope
from cancelweb.testing import Client
from cancelweb.threads import defer_to_thread

from .._docs import DOCS, section
from .._pages import GetPage
from ..stoppable._databases import ENDLESS, DatabaseTestCase

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

SECTION = section(DOCS / "howto" / "threads.rst", "Call back into the reactor")
NAMES = {
    "blockingCallFromThread": blockingCallFromThread,
    "reactor": reactor,
}


def shown(function: str) -> str:
    """The call of this function that the page shows."""
    (call,) = re.findall(rf"^\* ``({re.escape(function)}\(.*\))``", SECTION, re.M)
    return str(call)


class CallBackTests(DatabaseTestCase):
    """Calls of the reactor from the thread of a request."""

    def serve(self, call: str, **names: Any) -> Any:
        """Have a client ask for a page whose thread makes this call."""
        self.seen: list[object] = []
        self.over: Deferred[Outcome] = Deferred()

        def in_thread() -> bytes:
            given = {**NAMES, **names, "pool": self.pool, "scope": current_scope()}
            try:
                self.seen.append(eval(call, given))
            except BaseException as error:
                self.seen.append(type(error))
                raise
            return b"done"

        @cancel_on_disconnect(observers=self.over.callback)
        def handler(_: object) -> Deferred[bytes]:
            return defer_to_thread(in_thread)

        connection = Client(GetPage(handler), reactor, watch=False).connect()
        connection.get()
        self.addCleanup(connection.disconnect)
        return connection

    async def test_note(self) -> None:
        """A fact that a thread notes is in the outcome."""
        self.serve(shown("reactor.callFromThread"))
        self.assertEqual((await self.over).notes, {"rows": 12})

    async def test_query(self) -> None:
        """The thread gets the rows of its query."""
        self.serve(shown("blockingCallFromThread"), sql="SELECT 1")
        await self.over
        self.assertEqual(self.seen, [[(1,)]])

    async def test_query_of_a_client_that_leaves(self) -> None:
        """The query is stopped with the request, and the thread is told."""
        begun = self.begun
        connection = self.serve(shown("blockingCallFromThread"), sql=ENDLESS)
        await begun
        connection.disconnect()
        await self.over
        self.assertEqual(self.seen, [CancelledError])
