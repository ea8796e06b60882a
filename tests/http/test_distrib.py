"""`twisted.web.distrib`: a request whose attributes go to another process, which renders it.

What belongs here: a wrapper on either side. What a dead request does is for
`test_others_twisted`.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.spread.pb import PBServerFactory
from twisted.trial.unittest import TestCase
from twisted.web.distrib import ResourcePublisher, ResourceSubscription
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.util import DeferredResource

from cancelweb import CancellingResource, Disconnected, Ended, Outcome, cancel_on_disconnect

from .._loopback import connect, listen, masked, request, serve
from .._pages import Handler, Page
from .._servers import LOOPBACK, reactor


class DistribTests(TestCase):
    """A front, and a worker that is sent the front's requests."""

    timeout = 30

    def setUp(self) -> None:
        """Note outcomes."""
        self.outcomes: list[Outcome] = []

    def subscribe(self, worker: Any) -> ResourceSubscription:
        """The front's resource for a worker."""
        publisher = PBServerFactory(ResourcePublisher(Site(worker)))
        subscription = ResourceSubscription(LOOPBACK, listen(self, publisher))

        async def hang_up() -> None:
            broker = subscription.publisher and subscription.publisher.broker
            if broker and not broker.disconnected:
                gone: Deferred[None] = Deferred()
                broker.notifyOnDisconnect(lambda: gone.callback(None))
                broker.transport.loseConnection()
                await gone

        self.addCleanup(hang_up)
        return subscription

    def wrap(self, resource: Any) -> CancellingResource:
        """Wrap the front or the worker."""
        return CancellingResource(resource, observers=self.outcomes.append)

    async def ask(self, front: Any) -> bytes:
        """Ask the front for a page."""
        connection = await connect(self, serve(self, front))
        connection.send(request())
        return await connection.closed

    async def test_wrapped_front(self) -> None:
        """A wrapped `ResourceSubscription` answers as a plain one; its scope completes."""
        plain = await self.ask(self.subscribe(Page(lambda _: b"page")))
        answer = await self.ask(self.wrap(self.subscribe(Page(lambda _: b"page"))))
        self.assertIn(b"page", answer)
        self.assertEqual(masked(answer), masked(plain))
        self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED])

    async def test_nothing_of_ours_is_sent(self) -> None:
        """A wrapped front sends its worker a request without a trace of cancelweb."""
        seen: list[dict[str, Any]] = []

        def render(request: Request) -> bytes:
            seen.append(dict(vars(request)))
            return b"page"

        worker = Page(render)
        await self.ask(self.subscribe(worker))
        await self.ask(self.wrap(self.subscribe(worker)))
        self.assertEqual(seen[0].keys(), seen[1].keys())
        self.assertEqual(seen[1]["notifications"], [])

    async def test_late_child_in_the_worker(self) -> None:
        """A page that a worker delivers late is served through a wrapped front."""
        late: Deferred[Resource] = Deferred()
        late.callback(Page(lambda _: b"page"))
        answer = await self.ask(self.wrap(self.subscribe(DeferredResource(late))))
        self.assertIn(b"page", answer)

    async def test_wrapped_both(self) -> None:
        """A wrapped front and a wrapped worker have a scope each."""
        answer = await self.ask(self.wrap(self.subscribe(self.wrap(Page(lambda _: b"page")))))
        self.assertIn(b"page", answer)
        self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED] * 2)

    async def test_worker_that_waits(self) -> None:
        """A worker's scope completes with the response, however its handler finishes that."""

        def late(_: Request) -> Deferred[bytes]:
            return deferLater(reactor, 0, lambda: b"page")

        async def finish_itself(request: Request) -> None:
            request.write(await late(request))
            request.finish()

        async def give_bytes(request: Request) -> bytes:
            return await late(request)

        async def write_only(request: Request) -> None:
            request.write(await late(request))

        handlers: list[Handler] = [finish_itself, give_bytes, write_only, late]
        for handler in handlers:
            self.outcomes.clear()
            answer = await self.ask(self.subscribe(self.wrap(Page(handler))))
            self.assertEqual(answer.count(b"page"), 1)
            self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED])
        self.assertEqual(self.flushWarnings(), [])

    async def test_worker_that_finishes_later(self) -> None:
        """A worker's scope completes if timers finish the response after NOT_DONE_YET."""

        def render(request: Request) -> int:
            reactor.callLater(0, request.write, b"page")
            reactor.callLater(0, lambda: request.finish())
            return NOT_DONE_YET

        self.assertIn(b"page", await self.ask(self.subscribe(self.wrap(Page(render)))))
        self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED])

    async def test_worker_that_fails(self) -> None:
        """A worker whose work fails answers with a 500, and its outcome is FAILED."""
        failing = Page(lambda _: deferLater(reactor, 0, lambda: 1 / 0))
        answer = await self.ask(self.subscribe(self.wrap(failing)))
        self.assertIn(b" 500 ", answer)
        self.assertEqual([each.ended for each in self.outcomes], [Ended.FAILED])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_decorated_front(self) -> None:
        """A decorated front and a wrapped worker have a scope each."""
        subscription = self.subscribe(self.wrap(Page(lambda _: b"page")))
        decorate: Any = cancel_on_disconnect(observers=self.outcomes.append)
        answer = await self.ask(Page(decorate(subscription.render)))
        self.assertIn(b"page", answer)
        self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED] * 2)

    async def test_leaving(self) -> None:
        """What a worker writes after the client has left the front is dropped."""
        rendered: Deferred[Request] = Deferred()

        def render(request: Request) -> int:
            rendered.callback(request)
            return NOT_DONE_YET

        connection = await connect(self, serve(self, self.wrap(self.subscribe(Page(render)))))
        connection.send(request())
        late: Any = await rendered
        await connection.leave()
        await late.remote.callRemote("write", b"late")
        await late.remote.callRemote("finish")
        self.assertEqual(connection.received, b"")
        self.assertIsInstance(self.outcomes[0].cause, Disconnected)
