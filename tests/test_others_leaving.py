"""What other people's resources do, wrapped, when the client leaves: over real sockets.

What belongs here: for each, what is stopped, and that nothing is logged as an error. What the
in-memory client can show of them is in `test_real_resources`, `test_passwords`,
`test_late_children` and `test_distrib`.
"""

import os
import re
import signal
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flask import Flask
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread, deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase
from twisted.web.proxy import ReverseProxyResource
from twisted.web.script import ResourceScript
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import File
from twisted.web.twcgi import FilteredScript
from twisted.web.wsgi import WSGIResource

from cancelweb import CancellingResource, Disconnected, Ended, Outcome, current_scope

from ._docs import STOP_PROGRAM, run
from ._loopback import Wire, connect, request, serve
from ._others import Script, compressed, delivered_late, guarded, named_hosts
from ._scopes import Leaf
from ._servers import LOOPBACK, reactor
from ._websockets import TEXT, UPGRADE, autobahn_echo, twisted_echo


class LeavingTestCase(TestCase):
    """A wrapped resource, and a client that leaves."""

    timeout = 30

    def setUp(self) -> None:
        """Wait for the outcome of the only request."""
        self.ended: Deferred[Outcome] = Deferred()

    def wrap(self, resource: Any, **options: Any) -> CancellingResource:
        """Wrap a resource."""
        return CancellingResource(resource, observers=self.ended.callback, **options)

    async def visit(self, resource: Any, data: bytes | None = None, **options: Any) -> Wire:
        """Ask for a wrapped resource, and do not wait for the answer."""
        wire = await connect(self, serve(self, self.wrap(resource, **options)))
        wire.send(request() if data is None else data)
        return wire

    async def assert_left(self, ended: Ended) -> None:
        """The scope was cancelled as its client left, and ended like this."""
        outcome = await self.ended
        self.assertIsInstance(outcome.cause, Disconnected)
        self.assertIs(outcome.ended, ended)


class WSGITests(LeavingTestCase):
    """`WSGIResource` with Flask: a thread cannot be stopped; Twisted stops to iterate."""

    def setUp(self) -> None:
        """An application that runs in a thread, and tells the test how far it is."""
        super().setUp()
        self.app = Flask("leaving")
        self.running: Deferred[None] = Deferred()
        self.done: Deferred[str] = Deferred()
        self.go_on = threading.Event()
        self.pool = ThreadPool(0, 1)
        self.pool.start()
        self.addCleanup(self.pool.stop)
        # The only thread: when its turn has come, the application's call is over. Until then that
        # may need the reactor, to write what nobody reads any more.
        self.addCleanup(deferToThreadPool, reactor, self.pool, lambda: None)
        self.addCleanup(self.go_on.set)

    def tell(self, deferred: Deferred[Any], result: Any) -> None:
        """From the thread, tell the test."""
        blockingCallFromThread(reactor, deferred.callback, result)

    def resource(self) -> WSGIResource:
        """The application as a resource."""
        return WSGIResource(reactor, self.pool, self.app)

    async def test_a_view(self) -> None:
        """A view runs to its end, and what it returns is dropped."""

        @self.app.get("/")
        def view() -> str:
            self.tell(self.running, None)
            self.go_on.wait(20)
            self.tell(self.done, "to its end")
            return "late"

        wire = await self.visit(self.resource())
        await self.running
        await wire.leave()
        await self.assert_left(Ended.COMPLETED)
        self.go_on.set()
        self.assertEqual(await self.done, "to its end")
        self.assertEqual(wire.received, b"")

    async def test_a_stream(self) -> None:
        """A stream is closed before its next chunk."""

        def chunks() -> Iterator[str]:
            try:
                yield "first"
                self.go_on.wait(20)
                yield "second"
                yield "third"
            except GeneratorExit:
                self.tell(self.done, "closed")
                raise
            self.tell(self.done, "to its end")

        @self.app.get("/")
        def view() -> Any:
            return self.app.response_class(chunks())

        wire = await self.visit(self.resource())
        await wire.until(b"first")
        await wire.leave()
        await self.assert_left(Ended.COMPLETED)
        self.go_on.set()
        self.assertEqual(await self.done, "closed")
        self.assertNotIn(b"second", wire.received)


PROGRAM = b"""
import os, signal
os.write(1, b"Content-Type: text/plain\\n\\npid %d." % os.getpid())
while True:
    signal.pause()
"""


class CGITests(LeavingTestCase):
    """`twcgi`: a program that does not look up from its work."""

    async def leave_program(self, **options: Any) -> int:
        """Start it, and leave; returns the number of its process."""
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "run.cgi").write_bytes(PROGRAM)
        root: Any = File(str(directory))
        root.processors = {".cgi": self.script()}
        wire = await self.visit(root, request(b"/run.cgi"), **options)
        await wire.until(b".\r\n")
        await wire.leave()
        return int(re.findall(rb"pid (\d+)", wire.received)[0])

    def script(self) -> type[FilteredScript]:
        """A kind of program that tells the test when its process is gone."""
        gone = self.gone

        class Watched(Script):
            def runProcess(self, env: Any, request: Any, qargs: Any = ()) -> None:
                super().runProcess(env, request, qargs)
                protocol = request.producer
                protocol.processExited = lambda reason: gone.callback(reason.value.signal)

        return Watched

    def setUp(self) -> None:
        """Wait for the end of the process."""
        super().setUp()
        self.gone: Deferred[int] = Deferred()

    async def test_by_itself(self) -> None:
        """It runs on: Twisted closes its pipes, which it does not notice until it writes."""
        pid = await self.leave_program()
        await self.assert_left(Ended.COMPLETED)
        self.assertFalse(self.gone.called)
        os.kill(pid, signal.SIGUSR1)
        self.assertEqual(await self.gone, signal.SIGUSR1)

    async def test_with_the_hook_of_the_docs(self) -> None:
        """With the hook that the documentation shows it is told to stop."""
        hook = run(STOP_PROGRAM.read_text())["stop_program"]
        await self.leave_program(on_cancel=hook)
        self.assertEqual(await self.gone, signal.SIGTERM)
        self.assertIsInstance((await self.ended).cause, Disconnected)

    async def test_the_hook_elsewhere(self) -> None:
        """The hook leaves requests alone that have no program."""
        hook = run(STOP_PROGRAM.read_text())["stop_program"]
        rendered: Deferred[Request] = Deferred()

        def render(request: Request) -> int:
            rendered.callback(request)
            return NOT_DONE_YET

        wire = await self.visit(Leaf(render), on_cancel=hook)
        await rendered
        await wire.leave()
        await self.assert_left(Ended.COMPLETED)


class ProxyTests(LeavingTestCase):
    """`ReverseProxyResource`, which keeps its connection to the upstream to itself."""

    async def test_leaving(self) -> None:
        """The upstream is not told; what it answers late is dropped."""
        asked: Deferred[Request] = Deferred()
        upstream_ended: Deferred[Any] = Deferred()

        def render(request: Request) -> int:
            request.notifyFinish().addBoth(upstream_ended.callback)
            asked.callback(request)
            return NOT_DONE_YET

        proxy = ReverseProxyResource(LOOPBACK, serve(self, Leaf(render)), b"")
        wire = await self.visit(proxy)
        upstream: Any = await asked
        await wire.leave()
        await self.assert_left(Ended.COMPLETED)
        self.assertFalse(upstream_ended.called)
        upstream.write(b"late")
        upstream.finish()
        self.assertIs(await upstream_ended, None)
        self.assertEqual(wire.received, b"")


class KleinTests(LeavingTestCase):
    """Klein, which cancels what its view returned when it is told that the client has left."""

    async def test_leaving(self) -> None:
        """The Deferred that the view awaits is cancelled, and what is tracked is stopped."""
        asked: Deferred[None] = Deferred()
        stopped: list[str] = []
        app = Klein()

        @app.route("/")
        async def view(request: Any) -> bytes:
            beside: Deferred[None] = Deferred(lambda _: stopped.append("beside"))
            current_scope().track(beside)
            asked.callback(None)
            return await Deferred(lambda _: stopped.append("awaited"))

        wire = await self.visit(app.resource())
        await asked
        await wire.leave()
        await self.assert_left(Ended.STOPPED)
        self.assertEqual(sorted(stopped), ["awaited", "beside"])


class WebSocketTests(LeavingTestCase):
    """A connection that was taken over has no scope: its own protocol is told of the loss."""

    async def leave(self, resource: Any, lost: Deferred[None]) -> None:
        """Shake hands, speak, and leave without a goodbye."""
        wire = await self.visit(resource, UPGRADE)
        await wire.until(b"\r\n\r\n")
        self.assertEqual((await self.ended).cause, None)
        wire.send(TEXT)
        await wire.until(b"echo")
        await wire.leave()
        await lost

    async def test_twisted(self) -> None:
        """`twisted.web.websocket`."""
        resource = twisted_echo(self)()
        await self.leave(resource, resource.factory.lost)

    async def test_autobahn(self) -> None:
        """Autobahn's."""
        resource = autobahn_echo()
        await self.leave(resource, resource._factory.lost)


class ContainersTests(LeavingTestCase):
    """Resources around a page that returns a Deferred, which Twisted alone does not serve."""

    async def assert_stopped(self, contain: Callable[[Any], Any], data: bytes) -> None:
        """The page's work is stopped when the client leaves."""
        asked: Deferred[None] = Deferred()
        stopped: list[object] = []

        def render(request: Request) -> Deferred[bytes]:
            asked.callback(None)
            return Deferred(stopped.append)

        wire = await self.visit(contain(Leaf(render)), data)
        await asked
        await wire.leave()
        await self.assert_left(Ended.STOPPED)
        self.assertEqual(len(stopped), 1)

    async def test_named_hosts(self) -> None:
        """`NameVirtualHost`."""
        await self.assert_stopped(lambda page: named_hosts(localhost=page), request())

    async def test_gzip(self) -> None:
        """`EncodingResourceWrapper`."""
        await self.assert_stopped(compressed, request(b"/", b"GET", b"Accept-Encoding: gzip"))

    async def test_passwords(self) -> None:
        """`HTTPAuthSessionWrapper`."""
        login = b"Authorization: Basic " + b64encode(b"user:password")
        await self.assert_stopped(guarded, request(b"/", b"GET", login))

    async def test_late(self) -> None:
        """`DeferredResource`."""
        await self.assert_stopped(delivered_late, request())

    async def test_scripts(self) -> None:
        """An rpy script whose resource is ours."""
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "page.rpy").write_text("resource = registry.getComponent(object)")

        def contain(page: Any) -> File:
            root = File(str(directory))
            root.processors = {".rpy": ResourceScript}
            root.registry.setComponent(object, page)
            return root

        await self.assert_stopped(contain, request(b"/page.rpy"))
