from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect, current_scope


class Balance(Resource):
    isLeaf = True

    def __init__(self, pool):
        self._pool = pool

    @cancel_on_disconnect
    async def render_GET(self, request):
        connection = await current_scope().acquire(self._pool.get(), self._pool.put)
        try:
            return await connection.balance()
        finally:
            self._pool.put(connection)
