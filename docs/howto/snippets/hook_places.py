from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import Site

from cancelweb import CancellingResource, cancel_on_disconnect, current_scope, scope_of

log = Logger(namespace="shop")


def close(scope):
    log.info("closing what {path} has opened", path=scope.request.path)


class Report(Resource):
    isLeaf = True

    @cancel_on_disconnect(on_exit=close)
    async def render_GET(self, request):
        return b"the report"


class Order(Resource):
    isLeaf = True

    @cancel_on_disconnect
    async def render_GET(self, request):
        current_scope().on_exit(close)
        return b"the order"


def close_later(request):
    scope_of(request).on_exit(close)


site = Site(CancellingResource(Resource(), on_exit=close))
