from pathlib import Path

from twisted.web.resource import Resource
from twisted.web.server import Site

from cancelweb import CancellingResource, cancel_on_disconnect

PAGE = Path("503.html").read_bytes()


def error_page(request, cause):
    return PAGE


class Report(Resource):
    isLeaf = True

    def __init__(self, calculate):
        super().__init__()
        self.calculate = calculate

    @cancel_on_disconnect(timeout=30, error_page=error_page)
    async def render_GET(self, request):
        return await self.calculate()


site = Site(CancellingResource(Resource(), timeout=30, error_page=error_page))
