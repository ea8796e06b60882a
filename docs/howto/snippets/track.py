from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.resource import Resource

from cancelweb import Cause, cancel_on_disconnect, current_scope, scope_of

log = Logger(namespace="search")


class Search(Resource):
    isLeaf = True

    def __init__(self, find):
        self._find = find

    @cancel_on_disconnect
    async def render_GET(self, request):
        progress = LoopingCall(log.info, "still searching")
        progress.start(10)
        current_scope().track(progress)
        return await self._find(request)


class QuotaUsedUp(Cause):
    status = 429

    def __str__(self):
        return "the quota is used up"


def evict(request):
    scope_of(request).cancel(QuotaUsedUp())
