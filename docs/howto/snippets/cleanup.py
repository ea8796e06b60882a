from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect, cleaning

BUSY = "UPDATE machine SET state = 'busy'"
IDLE = "UPDATE machine SET state = 'idle'"


class Coffee(Resource):
    isLeaf = True

    def __init__(self, pool, brew):
        self._pool, self._brew = pool, brew

    @cancel_on_disconnect
    async def render_POST(self, request):
        await self._pool.runOperation(BUSY)
        try:
            return await self._brew()
        finally:
            await self._pool.runOperation(IDLE)


class Tea(Coffee):
    @cancel_on_disconnect
    def render_POST(self, request):
        begun = self._pool.runOperation(BUSY)
        return begun.addCallback(lambda _: self._brew()).addBoth(self._clean_up)

    def _clean_up(self, result):
        with cleaning():
            return self._pool.runOperation(IDLE).addCallback(lambda _: result)
