"""The same four handlers, fixed."""

import os
import tempfile

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import deferLater
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect


class Export(Resource):
    """Write a report to a temporary file first."""

    isLeaf = True

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    @cancel_on_disconnect
    async def render_GET(self, request):
        handle, path = tempfile.mkstemp()
        try:
            with open(handle, "wb") as file:
                await deferLater(self.clock, 1)  # a query
                file.write(b"the report")
            with open(path, "rb") as file:
                return file.read()
        finally:
            os.unlink(path)


class Booking(Resource):
    """Book one at a time."""

    isLeaf = True

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.lock = DeferredLock()

    @cancel_on_disconnect
    async def render_GET(self, request):
        async with self.lock:
            await deferLater(self.clock, 1)  # a payment
        return b"booked"


class Rates(Resource):
    """Ask a slow service once for all clients that wait."""

    isLeaf = True

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.running = None
        self.waiting = []

    @cancel_on_disconnect
    def render_GET(self, request):
        if self.running is None:
            self.running = deferLater(self.clock, 1, lambda: b"1.09")  # the service
            self.running.addBoth(self.tell)
        waiter = Deferred(self.leave)
        self.waiting.append(waiter)
        return waiter

    def leave(self, waiter):
        self.waiting.remove(waiter)
        if not self.waiting:  # The last client has left.
            self.running.cancel()

    def tell(self, result):
        waiting, self.waiting, self.running = self.waiting, [], None
        for waiter in waiting:
            waiter.callback(result)


class Quote(Resource):
    """Wait for an answer that other code brings."""

    isLeaf = True

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    @cancel_on_disconnect
    async def render_GET(self, request):
        answer = Deferred(lambda _: timer.cancel())
        timer = self.clock.callLater(1, answer.callback, b"1.09")
        return await answer
