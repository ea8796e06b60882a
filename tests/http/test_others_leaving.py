"""Wrapped resources of Twisted and other projects whose client leaves, over real sockets.

What belongs here: what each resource stops, and that nothing is logged as an error. What the
in-memory client can show of these resources is in `test_others_twisted`, `test_others_passwords`,
`test_late_children` and `test_distrib`; threads and programs are in `test_others_programs`.
"""

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.web.proxy import ReverseProxyResource
from twisted.web.script import ResourceScript
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import File

from cancelweb import Ended, current_scope

from .._loopback import request, serve
from .._pages import Page
from .._servers import LOOPBACK
from ._others import compressed, delivered_late, guarded, named_hosts
from ._others_left import LeavingTestCase
from ._websockets import TEXT, UPGRADE, autobahn_echo, twisted_echo


class ProxyTests(LeavingTestCase):
    """`ReverseProxyResource`, which keeps its connection to the upstream to itself."""

    async def test_leaving(self) -> None:
        """A wrapped proxy's upstream is not told about a loss, and its late answer is dropped."""
        asked: Deferred[Request] = Deferred()
        upstream_ended: Deferred[Any] = Deferred()

        def render(request: Request) -> int:
            request.notifyFinish().addBoth(upstream_ended.callback)
            asked.callback(request)
            return NOT_DONE_YET

        proxy = ReverseProxyResource(LOOPBACK, serve(self, Page(render)), b"")
        connection = await self.visit(proxy)
        upstream: Any = await asked
        await connection.leave()
        await self.assert_left(Ended.LET_GO)
        self.assertFalse(upstream_ended.called)
        upstream.write(b"late")
        upstream.finish()
        self.assertIs(await upstream_ended, None)
        self.assertEqual(connection.received, b"")


class KleinTests(LeavingTestCase):
    """Klein, which cancels what its view returned when it is told that the client has left."""

    async def test_leaving(self) -> None:
        """A loss stops what a wrapped Klein view awaits, and what it has tracked."""
        asked: Deferred[None] = Deferred()
        stopped: list[str] = []
        app = Klein()

        @app.route("/")
        async def view(request: Any) -> bytes:
            beside: Deferred[None] = Deferred(lambda _: stopped.append("beside"))
            current_scope().track(beside)
            asked.callback(None)
            return await Deferred(lambda _: stopped.append("awaited"))

        connection = await self.visit(app.resource())
        await asked
        await connection.leave()
        await self.assert_left(Ended.STOPPED)
        self.assertEqual(sorted(stopped), ["awaited", "beside"])


class WebSocketTests(LeavingTestCase):
    """A connection that was taken over has no scope: its own protocol is told about the loss."""

    async def leave(self, resource: Any, lost: Deferred[None]) -> None:
        """Shake hands, speak, and leave without a goodbye."""
        connection = await self.visit(resource, UPGRADE)
        await connection.until(b"\r\n\r\n")
        self.assertEqual((await self.ended).cause, None)
        connection.send(TEXT)
        await connection.until(b"echo")
        await connection.leave()
        await lost

    async def test_twisted(self) -> None:
        """A wrapped WebSocket of Twisted's is told that its client has left."""
        resource = twisted_echo(self)()
        await self.leave(resource, resource.factory.lost)

    async def test_autobahn(self) -> None:
        """A wrapped WebSocket of Autobahn's is told that its client has left."""
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

        connection = await self.visit(contain(Page(render)), data)
        await asked
        await connection.leave()
        await self.assert_left(Ended.STOPPED)
        self.assertEqual(len(stopped), 1)

    async def test_named_hosts(self) -> None:
        """Work in a wrapped `NameVirtualHost` stops when the client leaves."""
        await self.assert_stopped(lambda page: named_hosts(localhost=page), request())

    async def test_gzip(self) -> None:
        """Work in a wrapped `EncodingResourceWrapper` stops when the client leaves."""
        await self.assert_stopped(compressed, request(b"/", b"GET", b"Accept-Encoding: gzip"))

    async def test_passwords(self) -> None:
        """Work in a wrapped `HTTPAuthSessionWrapper` stops when the client leaves."""
        login = b"Authorization: Basic " + b64encode(b"user:password")
        await self.assert_stopped(guarded, request(b"/", b"GET", login))

    async def test_late(self) -> None:
        """Work in a wrapped `DeferredResource` stops when the client leaves."""
        await self.assert_stopped(delivered_late, request())

    async def test_scripts(self) -> None:
        """Work of a page that an rpy script returns stops when the client leaves."""
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "page.rpy").write_text("resource = registry.getComponent(object)")

        def contain(page: Any) -> File:
            root = File(str(directory))
            root.processors = {".rpy": ResourceScript}
            root.registry.setComponent(object, page)
            return root

        await self.assert_stopped(contain, request(b"/page.rpy"))
