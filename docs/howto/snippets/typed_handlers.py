from collections.abc import AsyncIterator, Generator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from cancelweb import cancel_on_disconnect


def load(name: str) -> Deferred[str]:
    return succeed(f"{name}: 1.25\n")


class Rates(Resource):
    isLeaf = True

    @cancel_on_disconnect
    async def render_GET(self, request: Request) -> bytes:
        return (await load("EUR")).encode()

    @cancel_on_disconnect
    def render_HEAD(self, request: Request) -> int:
        request.setHeader(b"content-type", b"text/plain")
        request.finish()
        return NOT_DONE_YET

    @cancel_on_disconnect
    def render_POST(self, request: Request) -> Deferred[bytes]:
        return load("EUR").addCallback(str.encode)

    @cancel_on_disconnect
    @inlineCallbacks
    def render_PUT(self, request: Request) -> Generator[Deferred[Any], Any, bytes]:
        text: str = yield load("EUR")
        return text.encode()

    @cancel_on_disconnect(timeout=30)
    async def render_STREAM(self, request: Request) -> AsyncIterator[bytes]:
        for name in ("EUR", "USD"):
            yield (await load(name)).encode()
