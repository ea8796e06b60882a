"""Handlers before their migration to cancelweb."""

from klein import Klein
from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

log = Logger(namespace="shop")


class Report(Resource):
    isLeaf = True

    def __init__(self, query):
        super().__init__()
        self.query = query

    def render_GET(self, request):
        rows = self.query()
        request.notifyFinish().addErrback(lambda reason: rows.cancel())
        rows.addCallback(self.send, request)
        rows.addErrback(self.fail, request)
        return NOT_DONE_YET

    def send(self, rows, request):
        request.write(b"%d rows\n" % len(rows))
        request.finish()

    def fail(self, failure, request):
        if not failure.check(CancelledError):
            log.failure("the report failed", failure)
            request.setResponseCode(500)
            request.finish()


def klein_root(query):
    app = Klein()

    @app.route("/report")
    async def report(request):
        progress = LoopingCall(log.info, "still at it")
        progress.start(10)
        try:
            rows = await query()
        finally:
            progress.stop()
        return b"%d rows\n" % len(rows)

    return app.resource()


class Rates(Resource):
    isLeaf = True

    def __init__(self, ask, reactor):
        super().__init__()
        self.ask, self.reactor = ask, reactor

    def render_GET(self, request):
        rates = self.ask()
        rates.addTimeout(10, self.reactor)
        rates.addCallback(self.send, request)
        rates.addErrback(self.fail, request)
        return NOT_DONE_YET

    def send(self, rates, request):
        request.write(rates)
        request.finish()

    def fail(self, failure, request):
        failure.trap(TimeoutError)
        request.setResponseCode(504)
        request.finish()
