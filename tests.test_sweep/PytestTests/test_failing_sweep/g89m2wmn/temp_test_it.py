from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from cancelweb.testing import sweep


class Page(Resource):
    isLeaf = True

    def __init__(self, clock):
        self.clock = clock

    def render_GET(self, request):
        self.clock.callLater(5, request.finish)
        return NOT_DONE_YET


def test_it():
    sweep(Page)
