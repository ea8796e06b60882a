"""The programs of the how-to on cleanup: hooks, and cleanup in a handler."""

from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import CancellingResource, cancel_on_disconnect

from .._docs import CLEANUP, HOOK_PLACES, run
from .._logs import log_events
from .._pages import Page
from .._visits import connect
from ..stoppable._databases import DatabaseTestCase

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor


class HookTests(SynchronousTestCase):
    """The places at which the how-to registers its hook."""

    def test_each_place(self) -> None:
        """The hook of the how-to runs once for each request, wherever it was registered."""
        names = run(HOOK_PLACES.read_text())

        def handler(request: Request) -> bytes:
            names["close_later"](request)
            return b"page"

        pages = (names["Report"](), names["Order"](), names["site"].resource)
        for page in (*pages, Page(cancel_on_disconnect(handler))):
            events = log_events(self)
            connect(page).get(path=b"/here")
            closed = [formatEvent(each) for each in events if each["log_namespace"] == "shop"]
            self.assertEqual(closed, ["closing what b'/here' has opened"])


class CleanupTests(DatabaseTestCase):
    """A machine in a database, and clients that wait for it."""

    def brew(self) -> Deferred[bytes]:
        """Say that brewing has begun, and wait for its end, as the program needs."""
        self.brewing.callback(None)
        return self.brewed

    async def state(self) -> str:
        """The state of the machine in the database."""
        [[state]] = await self.pool.runQuery("SELECT state FROM machine")
        return str(state)

    async def states(self, name: str, *, leaves: bool) -> list[str]:
        """The states of the machine while it brews, and when the request is over."""
        self.brewing: Deferred[None] = Deferred()
        self.brewed: Deferred[bytes] = Deferred(lambda _: None)
        over: Deferred[object] = Deferred()
        page = run(CLEANUP.read_text())[name](self.pool, self.brew)
        root = CancellingResource(page, on_exit=over.callback, clock=reactor)
        connection = connect(root, Clock())
        connection.request(b"POST")
        await self.brewing
        states = [await self.state()]
        if leaves:
            connection.disconnect()
        else:
            self.brewed.callback(b"Here you are.")
        await over
        return [*states, await self.state()]

    async def test_client_that_leaves(self) -> None:
        """The machine is busy while it brews, and idle when the client has left."""
        for name in ("Coffee", "Tea"):
            await self.make_machine()
            self.assertEqual(await self.states(name, leaves=True), ["busy", "idle"])

    async def test_client_that_stays(self) -> None:
        """The machine is busy while it brews, and idle when the client was served."""
        for name in ("Coffee", "Tea"):
            await self.make_machine()
            self.assertEqual(await self.states(name, leaves=False), ["busy", "idle"])

    async def make_machine(self) -> None:
        """Put a new machine into the database."""
        await deferLater(reactor, 0)
        await self.pool.runOperation("CREATE TABLE IF NOT EXISTS machine (state)")
        await self.pool.runOperation("DELETE FROM machine")
        await self.pool.runOperation("INSERT INTO machine VALUES ('new')")
