from twisted.internet import reactor
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

log = Logger(namespace="slow")


class SlowPage(Resource):
    def _finish(self, request):
        log.info("the page is ready")
        request.write(b"<p>Here is your page.</p>\n")
        request.finish()

    def render_GET(self, request):
        reactor.callLater(5, self._finish, request)
        return NOT_DONE_YET


resource = SlowPage()
