from twisted.internet import reactor
from twisted.logger import Logger
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect

log = Logger(namespace="slow")


class SlowPage(Resource):
    def _finish(self, request):
        log.info("the page is ready")
        request.write(b"<p>Here is your page.</p>\n")
        request.finish()

    @cancel_on_disconnect
    def render_GET(self, request):
        return reactor.callLater(5, self._finish, request)


resource = SlowPage()
