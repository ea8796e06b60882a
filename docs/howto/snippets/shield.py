from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect, detach, shield


class Order(Resource):
    isLeaf = True

    def __init__(self, shop):
        self._shop = shop

    @cancel_on_disconnect
    async def render_POST(self, request):
        order = await self._shop.check(request)
        await shield(self._pay(order))
        detach(self._shop.send_mail(order))
        return b"Thank you.\n"

    async def _pay(self, order):
        await self._shop.charge(order)
        await self._shop.save(order)
