"""The same handlers after their migration to cancelweb."""

from klein import Klein
from twisted.internet.defer import TimeoutError
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.resource import Resource

from cancelweb import CancellingResource, cancel_on_disconnect, current_scope

log = Logger(namespace="shop")


class Report(Resource):
    isLeaf = True

    def __init__(self, query):
        super().__init__()
        self.query = query

    @cancel_on_disconnect
    async def render_GET(self, request):
        rows = await self.query()
        return b"%d rows\n" % len(rows)


def klein_root(query):
    app = Klein()

    @app.route("/report")
    async def report(request):
        progress = LoopingCall(log.info, "still at it")
        progress.start(10)
        current_scope().track(progress)
        rows = await query()
        return b"%d rows\n" % len(rows)

    return CancellingResource(app.resource(), timeout=30)


class Rates(Resource):
    isLeaf = True

    def __init__(self, ask):
        super().__init__()
        self.ask = ask

    @cancel_on_disconnect(timeout=10, timeout_status=504)
    def render_GET(self, request):
        return self.ask()


class RatesOrOldRates(Resource):
    isLeaf = True

    def __init__(self, ask, reactor):
        super().__init__()
        self.ask, self.reactor = ask, reactor

    @cancel_on_disconnect(timeout=10)
    async def render_GET(self, request):
        try:
            return await self.ask().addTimeout(2, self.reactor)
        except TimeoutError:
            return b"yesterday's rates"
