"""Wrapped WSGI applications and CGI programs whose client leaves, over real sockets.

What belongs here: what runs in threads and processes. The rest is in `test_others_leaving`.
"""

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Flask
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread, deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import File
from twisted.web.twcgi import FilteredScript
from twisted.web.wsgi import WSGIResource

from cancelweb import Disconnected, Ended

from .._docs import STOP_PROGRAM, run
from .._loopback import request
from .._pages import Page
from .._servers import reactor
from ._others import Script
from ._others_left import LeavingTestCase


class WSGITests(LeavingTestCase):
    """`WSGIResource` with Flask: its thread cannot be stopped, but Twisted stops iterating."""

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
        # may need the reactor, to write what no client reads any more.
        self.addCleanup(deferToThreadPool, reactor, self.pool, lambda: None)
        self.addCleanup(self.go_on.set)

    def tell(self, deferred: Deferred[Any], result: Any) -> None:
        """From the thread, tell the test."""
        blockingCallFromThread(reactor, deferred.callback, result)

    def resource(self) -> WSGIResource:
        """The application as a resource."""
        return WSGIResource(reactor, self.pool, self.app)

    async def test_a_view(self) -> None:
        """A WSGI view whose client leaves runs to its end, and its page is dropped."""

        @self.app.get("/")
        def view() -> str:
            self.tell(self.running, None)
            self.go_on.wait(20)
            self.tell(self.done, "to its end")
            return "late"

        connection = await self.visit(self.resource())
        await self.running
        await connection.leave()
        await self.assert_left(Ended.LET_GO)
        self.go_on.set()
        self.assertEqual(await self.done, "to its end")
        self.assertEqual(connection.received, b"")

    async def test_its_input(self) -> None:
        """A WSGI application that reads its input after its client has left gets ContentLost."""

        def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            self.tell(self.running, None)
            self.go_on.wait(20)
            try:
                environ["wsgi.input"].read()
            except OSError as error:
                self.tell(self.done, repr(error))
            start_response("200 OK", [])
            return []

        resource = WSGIResource(reactor, self.pool, application)
        connection = await self.visit(resource, request(body=b"body"))
        await self.running
        await connection.leave()
        await self.ended
        self.go_on.set()
        self.assertIn("ContentLost('the client disconnected", await self.done)

    async def test_a_stream(self) -> None:
        """A WSGI stream whose client leaves is closed before its next chunk."""

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

        connection = await self.visit(self.resource())
        await connection.until(b"first")
        await connection.leave()
        await self.assert_left(Ended.LET_GO)
        self.go_on.set()
        self.assertEqual(await self.done, "closed")
        self.assertNotIn(b"second", connection.received)


PROGRAM = b"""
import os, signal
os.write(1, b"Content-Type: text/plain\\n\\npid %d." % os.getpid())
while True:
    signal.pause()
"""


class CGITests(LeavingTestCase):
    """`twcgi` with a program that notices nothing."""

    async def leave_program(self, **options: Any) -> int:
        """Start the program, and leave; returns the number of its process."""
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "run.cgi").write_bytes(PROGRAM)
        root: Any = File(str(directory))
        root.processors = {".cgi": self.script()}
        connection = await self.visit(root, request(b"/run.cgi"), **options)
        await connection.until(b".\r\n")
        await connection.leave()
        return int(re.findall(rb"pid (\d+)", connection.received)[0])

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
        """Create the Deferred that fires when the process has ended."""
        super().setUp()
        self.gone: Deferred[int] = Deferred()

    async def test_by_itself(self) -> None:
        """A CGI program whose client leaves runs on until a signal ends it."""
        pid = await self.leave_program()
        await self.assert_left(Ended.LET_GO)
        self.assertFalse(self.gone.called)
        os.kill(pid, signal.SIGUSR1)
        self.assertEqual(await self.gone, signal.SIGUSR1)

    async def test_with_the_hook_of_the_docs(self) -> None:
        """The hook from the docs sends SIGTERM to a CGI program whose client leaves."""
        hook = run(STOP_PROGRAM.read_text())["stop_program"]
        await self.leave_program(on_cancel=hook)
        self.assertEqual(await self.gone, signal.SIGTERM)
        self.assertIsInstance((await self.ended).cause, Disconnected)

    async def test_the_hook_elsewhere(self) -> None:
        """The hook from the docs leaves requests without a program alone."""
        hook = run(STOP_PROGRAM.read_text())["stop_program"]
        rendered: Deferred[Request] = Deferred()

        def render(request: Request) -> int:
            rendered.callback(request)
            return NOT_DONE_YET

        connection = await self.visit(Page(render), on_cancel=hook)
        await rendered
        await connection.leave()
        await self.assert_left(Ended.LET_GO)
