"""Which handlers type-check, and that a decorated handler keeps its signature.

What belongs here: programs as users write them. A line that must be an error has a `type: ignore`,
which the type checkers of `nox -s typing` report where there is no error.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from concurrent.futures import Future
from typing import Any, assert_type

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.task import Clock, CooperativeTask, LoopingCall
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.template import Element, Tag, tags
from zope.interface import implementer

from cancelweb import ICancellable, cancel_on_disconnect, processes


class Job:
    """A kind of work of a user's own."""


@implementer(ICancellable)
class JobCanceller:
    """What stops it."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def cancel(self) -> None:
        """Stop it."""

    def when_settled(self) -> Deferred[bytes]:
        """Tell when it has ended."""
        return succeed(b"")


class Good(Resource):
    """Methods that type-check, one for each kind of result."""

    @cancel_on_disconnect
    def render_GET(self, request: Request) -> bytes:
        return request.path

    @cancel_on_disconnect()
    def render_not_done_yet(self, request: Request) -> int:
        request.write(b"")
        return NOT_DONE_YET

    @cancel_on_disconnect(timeout=3)
    def render_either(self, request: Request) -> bytes | int:
        return NOT_DONE_YET if request.args else b""

    @cancel_on_disconnect
    def render_deferred(self, request: Request) -> Deferred[bytes]:
        return succeed(b"")

    @cancel_on_disconnect
    def render_deferred_none(self, request: Request) -> Deferred[None]:
        return succeed(None)

    @cancel_on_disconnect
    def render_deferred_any(self, request: Request) -> Deferred[Any]:
        return succeed(b"")

    @cancel_on_disconnect
    def render_bytes_or_deferred(self, request: Request) -> bytes | Deferred[bytes]:
        return succeed(b"")

    @cancel_on_disconnect
    def render_deferred_either(self, request: Request) -> Deferred[bytes | int]:
        return Deferred()

    @cancel_on_disconnect
    @inlineCallbacks
    def render_generator(self, request: Request) -> Generator[Deferred[Any], Any, bytes]:
        yield succeed(1)
        return b""

    @cancel_on_disconnect
    async def render_coroutine(self, request: Request) -> bytes:
        return b""

    @cancel_on_disconnect
    async def render_written(self, request: Request) -> None:
        request.write(b"")

    @cancel_on_disconnect
    async def render_nested(self, request: Request) -> Deferred[bytes]:
        return succeed(b"")

    @cancel_on_disconnect
    async def render_stream(self, request: Request) -> AsyncIterator[bytes]:
        yield b""

    @cancel_on_disconnect
    async def render_later_stream(self, request: Request) -> processes.Output:
        return processes.stream(["true"])

    @cancel_on_disconnect
    def render_chunks(self, request: Request) -> Iterator[bytes]:
        yield b""

    @cancel_on_disconnect
    def render_output(self, request: Request) -> processes.Output:
        return processes.stream(["true"])

    @cancel_on_disconnect
    def render_template(self, request: Request) -> Element:
        return Element()

    @cancel_on_disconnect
    def render_tag(self, request: Request) -> Tag:
        return tags.p("text")

    @cancel_on_disconnect
    def render_timer(self, request: Request) -> IDelayedCall:
        return Clock().callLater(1, request.finish)

    @cancel_on_disconnect
    def render_loop(self, request: Request) -> LoopingCall:
        return LoopingCall(request.write, b"")

    @cancel_on_disconnect
    def render_own(self, request: Request) -> JobCanceller:
        return JobCanceller(Job())

    @cancel_on_disconnect
    def render_untyped(self, request: Any) -> Any:
        return b""


@cancel_on_disconnect
def cooperate(request: Request) -> CooperativeTask[Any]:
    raise NotImplementedError


@cancel_on_disconnect
def process(request: Request) -> IProcessTransport:
    raise NotImplementedError


@cancel_on_disconnect
def task(request: Request) -> asyncio.Task[bytes]:
    raise NotImplementedError


@cancel_on_disconnect
def future(request: Request) -> Future[bytes]:
    raise NotImplementedError


@cancel_on_disconnect
def awaitable(request: Request) -> Awaitable[bytes]:
    raise NotImplementedError


@cancel_on_disconnect
def canceller(request: Request) -> ICancellable:
    raise NotImplementedError


@cancel_on_disconnect
def named(request: Request, name: str, *, size: int = 1) -> bytes:
    raise NotImplementedError


def take_method(handler: Callable[[Request], bytes | int]) -> None: ...


def signatures(good: Good, request: Request) -> None:
    """Decorated methods and functions take what they took, and return what Twisted takes."""
    assert_type(good.render_GET(request), bytes | int)
    assert_type(good.render_either(request), bytes | int)
    assert_type(good.render_coroutine(request), bytes | int)
    assert_type(Good.render_GET(good, request), bytes | int)
    assert_type(named(request, "name", size=3), bytes | int)
    take_method(good.render_stream)
    named(request, 3)  # type: ignore[arg-type]
    named(request, "name", length=3)  # type: ignore[call-arg]
    good.render_GET()  # type: ignore[call-arg]
    good.render_GET("request")  # type: ignore[arg-type]


class Bad(Resource):
    """Methods that do not type-check."""

    @cancel_on_disconnect  # type: ignore[arg-type]
    def render_GET(self, request: Request) -> str:
        return "text"

    @cancel_on_disconnect(timeout=3)  # type: ignore[arg-type]
    def render_options(self, request: Request) -> str:
        return "text"

    @cancel_on_disconnect  # type: ignore[arg-type]
    def render_json(self, request: Request) -> dict[str, int]:
        return {}

    @cancel_on_disconnect  # type: ignore[arg-type]
    def render_none(self, request: Request) -> None:
        request.write(b"")

    @cancel_on_disconnect  # type: ignore[arg-type]
    def render_maybe(self, request: Request) -> bytes | None:
        return b"" if request.args else None

    @cancel_on_disconnect  # type: ignore[arg-type]
    def render_deferred(self, request: Request) -> Deferred[str]:
        return succeed("")

    @cancel_on_disconnect  # type: ignore[arg-type]
    async def render_coroutine(self, request: Request) -> str:
        return "text"

    @cancel_on_disconnect  # type: ignore[arg-type]
    @inlineCallbacks
    def render_generator(self, request: Request) -> Generator[Deferred[Any], Any, str]:
        yield succeed(1)
        return "text"

    @inlineCallbacks  # type: ignore[arg-type]
    @cancel_on_disconnect  # type: ignore[arg-type]
    def render_wrong_order(self, request: Request) -> Generator[Deferred[Any], Any, bytes]:
        yield succeed(1)
        return b""

    @cancel_on_disconnect  # type: ignore[arg-type]
    def render_chunks(self, request: Request) -> list[bytes]:
        return [b""]

    @cancel_on_disconnect  # type: ignore[arg-type]
    def render_text_chunks(self, request: Request) -> Iterator[str]:
        yield ""

    @cancel_on_disconnect  # type: ignore[arg-type]
    async def render_text_stream(self, request: Request) -> AsyncIterator[str]:
        yield ""

    @cancel_on_disconnect  # type: ignore[arg-type]
    def render_own(self, request: Request) -> Job:
        return Job()
