"""Resources, monitors, clocks and agents that type-check, whether mypy-zope is there or not.

What belongs here: programs about the parts of a server, checked as `handlers.py` is.
"""

from typing import assert_type

from klein import Klein
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.client import Agent, HTTPConnectionPool, readBody
from twisted.web.iweb import IResponse
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site
from twisted.web.static import File
from twisted.web.wsgi import WSGIResource

from cancelweb import CancellingResource, Ended, Outcome, Scope, cancel_on_disconnect
from cancelweb.connections import notice_vanished
from cancelweb.monitor import Monitor
from cancelweb.observers import access_log_499, log_outcome
from cancelweb.processes import run
from cancelweb.proxy import ReverseProxyResource
from cancelweb.status import StatusResource
from cancelweb.testing import Client, assert_stopped, sweep
from cancelweb.upstream import CancellingAgent, stream_body


class Report(Resource):
    isLeaf = True

    @cancel_on_disconnect
    async def render_GET(self, request: Request) -> bytes:
        return b""


clock = Clock()
monitor = Monitor(clock)
agent = CancellingAgent(Agent(reactor, pool=HTTPConnectionPool(reactor)))


def wrapped(resource: IResource, wsgi: WSGIResource) -> None:
    root = CancellingResource(Report(), monitor=monitor, clock=clock, observers=log_outcome)
    root.putChild(b"report", Report())
    root.putChild(b"again", CancellingResource(root))
    CancellingResource(resource, clock=reactor)
    CancellingResource(File("."))
    CancellingResource(wsgi)
    CancellingResource(Klein().resource())
    notice_vanished(Site(root), 30).displayTracebacks = False
    CancellingResource(Report)  # type: ignore[arg-type]
    CancellingResource(Site(root))  # type: ignore[arg-type]
    CancellingResource(Klein())  # type: ignore[arg-type]
    CancellingResource(b"page")  # type: ignore[arg-type]
    CancellingResource(Report(), monitor=clock)  # type: ignore[arg-type]
    CancellingResource(Report(), methods=["GET", "HEAD"])
    CancellingResource(Report(), methods=("GET", b"HEAD"))
    CancellingResource(Report(), methods={"GET"})
    CancellingResource(Report(), methods="GET")  # type: ignore[arg-type]
    CancellingResource(Report(), on_exit=Deferred())  # type: ignore[arg-type]
    CancellingResource(Report(), on_exit=log_outcome)  # type: ignore[arg-type]
    CancellingResource(Report(), observers=[access_log_499, log_outcome])
    CancellingResource(Report(), observers=Deferred())  # type: ignore[arg-type]
    CancellingResource(Report(), clock=monitor)  # type: ignore[arg-type]


def operated() -> None:
    StatusResource(monitor)
    assert_type(monitor.scopes, tuple[Scope, ...])
    assert_type(monitor.drain(3), Deferred[None])
    assert_type([scope.ended for scope in monitor.scopes], list[Ended])


async def upstream(response: IResponse) -> None:
    assert_type(await readBody(await agent.request(b"GET", b"http://localhost/")), bytes)
    assert_type([chunk async for chunk in stream_body(response)], list[bytes])
    assert_type((await run(["sort"], stdin=b"", reactor=reactor)).stdout, bytes)
    ReverseProxyResource("localhost", 80, b"", reactor, agent)
    ReverseProxyResource("localhost", 443, b"/a", tls=True, forwarded=True, trusted=["::1"])
    CancellingAgent(clock)  # type: ignore[arg-type]


def tested() -> None:
    client = Client(Report(), clock)
    exchange = client.get(b"/")
    exchange.disconnect()
    assert_stopped(exchange)
    assert_type(exchange.request, Request | None)
    assert_type(exchange.outcome, Outcome | None)
    Client(Site(Report(), reactor=clock))
    Client(Report)  # type: ignore[arg-type]
    sweep(lambda clock: Report(), check=lambda report: assert_type(report, Report))
    sweep(lambda clock: "page")  # type: ignore[type-var]
