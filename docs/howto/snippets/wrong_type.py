from twisted.web.resource import Resource
from twisted.web.server import Request

from cancelweb import cancel_on_disconnect


class Rates(Resource):
    @cancel_on_disconnect
    async def render_GET(self, request: Request) -> str:
        return "EUR: 1.25\n"
