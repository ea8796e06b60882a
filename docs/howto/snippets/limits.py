from twisted.web.resource import Resource

from cancelweb import CancellingResource, cancel_on_disconnect


class Report(Resource):
    isLeaf = True

    def __init__(self, calculate):
        super().__init__()
        self.calculate = calculate

    @cancel_on_disconnect(timeout=600)
    async def render_GET(self, request):
        return await self.calculate()


def root_of(pages, calculate):
    pages.putChild(b"report", Report(calculate))
    return CancellingResource(pages, timeout=60, stall_timeout=60)
