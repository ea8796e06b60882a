"""What still works without a private name of Twisted, one scenario for each.

What belongs here: scenarios that run in a process in which names are missing. What does not: how
they come to be missing, and the tests that look at what is told here.
"""

import gc
import gzip
import signal
import warnings
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    fail,
    gatherResults,
    inlineCallbacks,
    race,
    succeed,
)
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.internet.task import Clock, LoopingCall, deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.client import Agent, readBody
from twisted.web.resource import EncodingResourceWrapper
from twisted.web.server import GzipEncoderFactory, Site
from twisted.web.template import Element, TagLoader, renderer, tags

from cancelweb import CancellingResource, Ended, access_log_499, cancel_on_disconnect, cleaning
from cancelweb._kinds.cancellations import forgive
from cancelweb._kinds.deferred_kinds import DeferredCanceller
from cancelweb._kinds.leaves import innermost
from cancelweb._scopes.refusal import begin
from cancelweb.monitor import Monitor
from cancelweb.proxy import ReverseProxyResource
from cancelweb.testing import Client, sweep
from cancelweb.testing._clock import step

from ..._pages import GetPage, NoHead
from ...stoppable._wires import OK, Wire
from ...testing._kit import body_of

reactor: Any = _installed_reactor


class Visit:
    """A page, and a client that asks for it.

    Args:
        handler: Is called with the request and the clock.
        options: Those of the decorator.
        kind: A class of resources.
    """

    def __init__(
        self, handler: Callable[[Any, Clock], Any], kind: Any = GetPage, **options: Any
    ) -> None:
        self.clock = Clock()
        self.outcomes: list[Any] = []
        self.stopped: list[object] = []
        decorate = cancel_on_disconnect(clock=self.clock, observers=self.outcomes.append, **options)
        self.page = kind(decorate(lambda request: handler(request, self.clock)))
        self.client = Client(self.page, self.clock)

    def leave(self) -> Ended:
        """Ask, leave, and return how the work ended."""
        exchange = self.client.get()
        exchange.disconnect()
        return self.last

    @property
    def last(self) -> Ended:
        """How the last request ended."""
        ended: Ended = self.outcomes[-1].ended
        return ended


def same(found: object, expected: object) -> None:
    """Check that a value is the expected one."""
    if found != expected:
        raise AssertionError(f"{found!r} is not {expected!r}")


async def later(_: object, clock: Clock) -> bytes:
    """A handler that takes a second."""
    await deferLater(clock, 1)
    return b"late"


def serves() -> None:
    """A handler answers, and a client that leaves stops its Deferred."""
    visit = Visit(later)
    exchange = visit.client.get()
    exchange.advance(1)
    same(body_of(exchange), b"late")
    stopped: list[object] = []
    same(Visit(lambda *_: Deferred(stopped.append)).leave(), Ended.STOPPED)
    same(len(stopped), 1)


# --- Deferreds ---


def unhandled_cancellation() -> None:
    """A cancelled Deferred gives its failure to code that comes later, or else it is logged."""
    logged: list[Any] = []
    late: list[Any] = []
    for each in (late.append, None):
        deferred: Deferred[None] = Deferred()
        deferred.cancel()
        forgive(deferred)
        if each is not None:
            deferred.addErrback(each)
    observer = cast(ILogObserver, logged.append)
    globalLogPublisher.addObserver(observer)
    del deferred
    gc.collect()
    globalLogPublisher.removeObserver(observer)
    same(late[0].type, CancelledError)
    same(any("log_failure" in event for event in logged), True)


def chain() -> None:
    """A Deferred that waits for another is stopped by its own cancel."""
    stopped: list[object] = []
    inner: Deferred[bytes] = Deferred(stopped.append)
    outer: Deferred[None] = Deferred()
    outer.callback(None)
    waiting = outer.addCallback(lambda _: inner)
    same(Visit(lambda *_: waiting).leave(), Ended.STOPPED)
    same(stopped, [inner])
    # What was cancelled before and is unhandled is none of the sweep's business.
    gc.collect()
    sweep(lambda clock: GetPage(lambda request: cancel_on_disconnect(later)(request, clock)))


def unread_chain() -> None:
    """A Deferred that waits for another that cannot be read is stopped by its own cancel."""
    waiting = succeed(None).addCallback(lambda _: Deferred())
    same(innermost(waiting) is waiting, True)
    chain()


@inlineCallbacks
def waiting_inside(leaf: Deferred[None]) -> Generator[Deferred[None], None, None]:
    """A generator that waits for a coroutine, for a list, and for what has fired."""

    async def inner() -> None:
        await gatherResults([succeed(None), succeed(None).addCallback(lambda _: leaf)])

    yield Deferred.fromCoroutine(inner())


def leaves() -> None:
    """What a coroutine, a generator, a list or a chain waits for is stopped, once."""
    stopped: list[object] = []
    same(Visit(lambda *_: waiting_inside(Deferred(stopped.append))).leave(), Ended.STOPPED)
    same(Visit(lambda *_: Deferred(stopped.append)).leave(), Ended.STOPPED)
    both: list[Deferred[None]] = [Deferred(stopped.append), Deferred(stopped.append)]
    same(Visit(lambda *_: gatherResults(both, consumeErrors=True)).leave(), Ended.STOPPED)
    same(len(stopped), 4)
    chain()


name: ContextVar[str] = ContextVar("name", default="anonymous")


def contexts() -> None:
    """A hook sees what a coroutine handler sets, and that handler waits, goes on and stops."""
    seen: list[str] = []

    async def handler(_: object, clock: Clock) -> bytes:
        try:
            await deferLater(clock, 1)
            name.set("ann")
            await fail(ValueError())
        except ValueError:
            await deferLater(clock, 1)
        return b"late"

    visit = Visit(handler, on_exit=lambda _: seen.append(name.get()))
    exchange = visit.client.get()
    exchange.advance(2)
    same(body_of(exchange), b"late")
    same(visit.leave(), Ended.STOPPED)
    same(seen, ["ann", "anonymous"])
    leaves()


def reports() -> None:
    """What a Deferred and a generator wait for is described in general terms."""
    leaf: Deferred[None] = Deferred(print)
    for each in (leaf, waiting_inside(leaf)):
        told = DeferredCanceller(each).where()
        same(told.startswith("Deferred that is cancelled by "), True)
    leaves()


def raced() -> None:
    """The two sides of a race are stopped, although the race counts as failed."""
    stopped: list[object] = []
    visit = Visit(lambda *_: race([Deferred(stopped.append), Deferred(stopped.append)]))
    same(visit.leave(), Ended.FAILED)
    same(len(stopped), 2)


def raced_away() -> None:
    """A race is stopped and counts as such, although other code holds one of its sides."""
    held: Deferred[None] = Deferred()
    same(Visit(lambda *_: race([held, Deferred()])).leave(), Ended.STOPPED)
    same(held.called, True)


class Unabortable:
    """A response whose transport has no ``abortConnection``."""

    code, phrase = 200, b"OK"

    def deliverBody(self, protocol: Protocol) -> None:
        """Begin to deliver the body."""
        self.protocol = protocol
        protocol.makeConnection(cast(Any, object()))


def body() -> None:
    """A wait for a body ends and counts as stopped, although the body is read on."""
    response = Unabortable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        same(Visit(lambda *_: readBody(cast(Any, response))).leave(), Ended.STOPPED)


def relayed() -> None:
    """A reverse proxy relays, as it does for an agent that is not Twisted's."""
    wire, clock = Wire(), MemoryReactorClock()
    agent = Agent.usingEndpointFactory(clock, wire)
    root = ReverseProxyResource("up.example", 80, b"", clock, agent)
    exchange = Client(root, clock).get()
    wire.line.say(OK)
    exchange.advance(0)
    same(body_of(exchange), b"hi")


def template() -> None:
    """A template that waits is stopped, although Twisted alone cancels its Deferred."""
    stopped: list[object] = []

    class Report(Element):
        loader = TagLoader(tags.p(render="row"))

        @renderer
        def row(self, request: object, tag: object) -> Deferred[str]:
            return Deferred(stopped.append)

    same(Visit(lambda *_: Report()).leave(), Ended.STOPPED)
    same(len(stopped), 1)


# --- timers, loops, processes ---


def timer() -> None:
    """A timer answers, and is stopped when the client leaves."""

    def finish(request: Any) -> None:
        request.write(b"late")
        request.finish()

    visit = Visit(lambda request, clock: clock.callLater(1, finish, request))
    exchange = visit.client.get()
    exchange.advance(1)
    same(body_of(exchange), b"late")
    same(visit.last, Ended.COMPLETED)
    same(visit.leave(), Ended.STOPPED)


def loop() -> None:
    """A running loop is stopped, and one that ends with the response completes it."""
    calls: list[object] = []

    def ticking(_: object, clock: Clock) -> object:
        looping = LoopingCall(calls.append, None)
        looping.clock = clock
        looping.start(1)
        return looping

    def ending(request: Any, clock: Clock) -> object:
        def end() -> None:
            looping.stop()
            request.finish()

        looping = LoopingCall(end)
        looping.clock = clock
        looping.start(1, now=False)
        return looping

    visit = Visit(ticking)
    exchange = visit.client.get()
    exchange.advance(2)
    exchange.disconnect()
    exchange.advance(9)
    same((visit.last, len(calls)), (Ended.STOPPED, 3))
    visit = Visit(ending)
    exchange = visit.client.get()
    exchange.advance(1)
    same((exchange.is_over, visit.last), (True, Ended.COMPLETED))


def unstarted_loop() -> None:
    """A loop that was never started keeps the request open until the client leaves."""
    visit = Visit(lambda *_: LoopingCall(print))
    exchange = visit.client.get()
    same(exchange.is_over, False)
    exchange.disconnect()
    same(visit.last, Ended.LET_GO)
    loop()


class Child(ProcessProtocol):
    """A process that reports its end."""

    def __init__(self) -> None:
        self.ended: Deferred[Any] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(reason.value)


async def tracked_process() -> None:
    """A process is stopped when its client leaves."""
    child = Child()
    sleep = ["sleep", "60"]
    visit = Visit(lambda *_: reactor.spawnProcess(child, sleep[0], sleep, env=None))
    exchange = visit.client.get()
    exchange.disconnect()
    ended: Any = await child.ended
    same((type(ended), ended.signal), (ProcessTerminated, 15))
    exchange.advance(1)
    same(visit.last, Ended.STOPPED)


# --- requests ---


def aborted_at_the_deadline() -> None:
    """A request that takes too long has its connection aborted."""
    exchange = Visit(later, total_timeout=0.5).client.get()
    exchange.advance(0.5)
    exchange.advance(0)
    same((exchange.is_over, exchange.response), (True, None))


def answered_at_the_deadline() -> None:
    """A request that takes too long is answered 503, and its `notifyFinish` fires."""

    def handler(request: Any, clock: Clock) -> object:
        request.setETag(b"of-the-page")
        request.setLastModified(1e9)
        request.notifyFinish().addBoth(told.append)
        return later(request, clock)

    told: list[object] = []
    exchange = Visit(handler, timeout=0.5).client.get()
    exchange.advance(0.5)
    assert exchange.response is not None
    same(exchange.response.code, 503)
    same(len(told), 1)


def stream() -> None:
    """A stream is sent whole, and one that fails is broken off."""

    async def chunks(_: object, clock: Clock) -> Any:
        yield b"a"
        await deferLater(clock, 1)
        yield b"b"

    async def failing(_: object, clock: Clock) -> Any:
        yield b"a"
        await deferLater(clock, 1)
        raise ValueError

    exchange = Visit(chunks).client.get()
    exchange.advance(2)
    same(body_of(exchange), b"ab")
    broken = Visit(failing).client.get()
    broken.advance(2)
    assert broken.response is not None
    same((broken.is_over, broken.response.is_complete), (True, False))


def left_with_all() -> None:
    """A client that leaves with the whole response counts as having disconnected early."""

    async def handler(request: Any, clock: Clock) -> None:
        request.setHeader(b"content-length", b"4")
        request.write(b"page")
        await deferLater(clock, 1)

    visit = Visit(handler)
    same(visit.leave(), Ended.STOPPED)
    same(str(visit.outcomes[0].cause)[:12], "the client d")


def flowing(connect: Callable[[Client], Any] = lambda client: client) -> None:
    """A response that flows is cut by no limit but the total one."""

    async def chunks(_: object, clock: Clock) -> Any:
        for _ in range(8):
            yield b"a"
            await deferLater(clock, 1)

    exchange = connect(Visit(chunks, timeout=2, stall_timeout=2).client).get()
    for _ in range(8):
        exchange.advance(1)
    same(body_of(exchange), b"a" * 8)
    visit = Visit(chunks, total_timeout=4)
    cut = connect(visit.client).get()
    for _ in range(5):
        cut.advance(1)
    same((cut.is_over, str(visit.outcomes[0].cause)), (True, "timed out after 4 s (total_timeout)"))


def flowing_http2() -> None:
    """A response that flows over HTTP/2 is cut by no limit but the total one."""
    flowing(lambda client: client.connect_http2())


def faked_head() -> None:
    """A HEAD is answered by a resource without a method for HEAD."""
    visit = Visit(later, NoHead)
    exchange = visit.client.request(b"HEAD", b"/")
    assert exchange.response is not None
    same((exchange.response.code, visit.last), (200, Ended.COMPLETED))


def encoded() -> None:
    """The page of an error is compressed where all pages are."""
    page = Visit(later, timeout=0.5)
    root = EncodingResourceWrapper(page.page, [GzipEncoderFactory()])
    exchange = Client(root, page.clock).get(headers={b"Accept-Encoding": b"gzip"})
    exchange.advance(0.5)
    same(b"stopped" in gzip.decompress(body_of(exchange)), True)


def access_log() -> None:
    """A client that left has its line in the access log."""
    clock = Clock()
    with TemporaryDirectory() as directory:
        path = Path(directory, "access.log")
        wrapped: Any = CancellingResource(
            GetPage(lambda _: Deferred()), on_exit=access_log_499, clock=clock
        )
        site = Site(wrapped, logPath=str(path).encode(), reactor=clock)
        site.startFactory()
        Client(site, clock).get().disconnect()
        site.stopFactory()
        same(b'"GET / HTTP/1.1" 200' in path.read_bytes(), True)


def last_answer() -> None:
    """In a drain, an answer asks the client to close its connection."""
    clock = Clock()
    monitor = Monitor(clock)
    page: Any = GetPage(lambda _: deferLater(clock, 1, lambda: b"late"))
    client = Client(CancellingResource(page, monitor=monitor, clock=clock), clock)
    exchange = client.get()
    monitor.drain(5)
    exchange.advance(1)
    assert exchange.response is not None
    same(exchange.response.headers.getRawHeaders(b"connection"), [b"close"])
    same(exchange.is_over, True)


# --- HTTP/2 ---


def http2(*, is_safe: bool = True) -> None:
    """Streams are answered and stopped, and one that is reset at once harms no other."""
    visit = Visit(later)
    connection = visit.client.connect_http2()
    answered, left = connection.get(), connection.get()
    left.reset()
    same(visit.last, Ended.STOPPED)
    if is_safe:
        with connection.in_one_read():
            connection.get().reset()
    answered.advance(1)
    same(body_of(answered), b"late")


def http2_without_states() -> None:
    """Streams are answered and stopped, where one reset at once is not tried."""
    http2(is_safe=False)


def http2_broken_off() -> None:
    """A stream that fails is reset."""

    async def failing(request: Any, clock: Clock) -> Any:
        request.write(b"a")
        await deferLater(clock, 1)
        raise ValueError

    exchange = Visit(failing).client.connect_http2().get()
    exchange.advance(2)
    assert exchange.response is not None
    same((exchange.was_reset, exchange.response.is_complete), (True, False))


def no_http2() -> None:
    """The test kit has no HTTP/2, and its error says so."""
    try:
        Visit(later).client.connect_http2()
    except ImportError as error:
        same("see the warnings" in str(error), True)
    else:
        raise AssertionError("there is HTTP/2")


async def drain() -> None:
    """A drain ends although an idle connection is open."""
    port = reactor.listenTCP(0, Site(GetPage(lambda _: b"")), interface="127.0.0.1")
    where = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    connection: Any = await where.connect(Factory.forProtocol(Protocol))
    try:
        await Monitor(reactor).drain(0)
    finally:
        connection.transport.abortConnection()
        await port.stopListening()


# --- the test kit ---


def sweeping() -> None:
    """A sweep finds points at which a handler waits, and the clock steps to its calls."""
    gc.collect()
    report = sweep(
        lambda clock: GetPage(lambda request: cancel_on_disconnect(later)(request, clock))
    )
    same(len(report.points) > 0, True)
    clock = Clock()
    called: list[object] = []
    clock.callLater(1, called.append, None)
    same((step(clock), called, clock.seconds()), (True, [None], 1.0))
    same(step(clock), False)


# --- the end of the process ---


def without_signal() -> None:
    """The process that is ended is ended by SIGTERM."""
    process = import_module("cancelweb._twisted.process")
    same(process.exit_signal_of(reactor), signal.SIGTERM)


# --- the database ---


async def database() -> None:
    """A query runs in a pool that is Twisted's own."""
    pool: Any = import_module("cancelweb.database").ConnectionPool("sqlite3", ":memory:")
    pool.start()
    try:
        same(await pool.runQuery("SELECT 1"), [(1,)])
    finally:
        pool.close()
    same(type(pool).__module__, "twisted.enterprise.adbapi")


Scenario = Callable[[], Awaitable[None] | None]


def cleanup() -> None:
    """Cleanup begins work, but in a generator of its own only under `cleaning`."""
    begun: list[str] = []

    def update(name: str) -> Deferred[None]:
        return begin("an update", begin_it, name)

    def begin_it(name: str) -> Deferred[None]:
        begun.append(name)
        return succeed(None)

    @inlineCallbacks
    def later(clock: Clock, name: str) -> Generator[Deferred[None], Any, None]:
        yield deferLater(clock, 1)
        yield update(name)

    async def handler(request: object, clock: Clock) -> None:
        try:
            await Deferred(lambda _: None)
        finally:
            await update("at once")
            with cleaning():
                await later(clock, "cleaning")
            await later(clock, "unseen")

    visit = Visit(handler)
    visit.client.get().disconnect()
    visit.clock.pump([1] * 4)
    same((begun, visit.last), (["at once", "cleaning"], Ended.STOPPED))
    contexts()


SCENARIOS: dict[str, Scenario] = {
    "DebugInfo": unhandled_cancellation,
    "DebugInfo.failResult": unhandled_cancellation,
    "Deferred._debugInfo": unhandled_cancellation,
    "Deferred.result": unread_chain,
    "_CancellationStatus": leaves,
    "_CancellationStatus.waitingOn": leaves,
    "_CancellationStatus.deferred": cleanup,
    "_inlineCallbacks": contexts,
    "_addCancelCallbackToDeferred": contexts,
    "Deferred._canceller": reports,
    "DeferredList._deferredList": leaves,
    "Deferred._callbacks|callbacks": reports,
    "race.to_cancel": raced_away,
    "readBody.getAbort": body,
    "Agent._endpointFactory": relayed,
    "HTTP11ClientProtocol._parser": relayed,
    "HTTPParser.state": relayed,
    "_fork": template,
    "FailureGroup": raced,
    "FailureGroup.failures": raced,
    "DelayedCall.func": timer,
    "DelayedCall.canceller": timer,
    "DelayedCall.args": sweeping,
    "DelayedCall.called": sweeping,
    "DelayedCall.kw": sweeping,
    "LoopingCall.starttime": unstarted_loop,
    "LoopingCall.deferred": loop,
    "Process.proto": tracked_process,
    "Request.finished": answered_at_the_deadline,
    "Request.channel": answered_at_the_deadline,
    "Request.startedWriting": aborted_at_the_deadline,
    "Request.producer": stream,
    "Request.transport": stream,
    "Request.sentLength": flowing,
    "HTTPChannel._waitingForTransport": flowing,
    "H2Connection.remainingOutboundWindow": flowing_http2,
    "FileDescriptor._tempDataLen": left_with_all,
    "TLSMemoryBIOProtocol._appSendBuffer": left_with_all,
    "H2Connection._outboundStreamQueues": left_with_all,
    "FileDescriptor.dataBuffer": flowing,
    "FileDescriptor.offset": flowing,
    "Request.notifications": answered_at_the_deadline,
    "Request.etag": answered_at_the_deadline,
    "Request.lastModified": answered_at_the_deadline,
    "Request.code": access_log,
    "Request.site": answered_at_the_deadline,
    "Request._inFakeHead": faked_head,
    "Request._encoder": encoded,
    "HTTPChannel.persistent": last_answer,
    "ConnectionState.CLOSED": http2,
    "H2Connection.state_machine": http2,
    "H2ConnectionStateMachine.state": http2,
    "H2Stream._conn": http2_without_states,
    "H2Stream.streamID": no_http2,
    "H2Stream.closed": http2,
    "H2Connection.conn": http2_without_states,
    "H2Connection.streams": http2,
    "H2Connection.encoder": http2,
    "H2Connection._requestDone": http2_broken_off,
    "H2Connection._tryToWriteControlData": http2_broken_off,
    "H2Connection": no_http2,
    "H2Connection.site": no_http2,
    "_GenericHTTPChannelProtocol._channel": drain,
    "Connection.protocol": drain,
    "FileDescriptor.disconnecting": stream,
    "ReactorBase._exitSignal": without_signal,
    "Clock.calls": sweeping,
    "Clock.rightNow": sweeping,
}
"""What is tried without a name, by the name without its module."""
