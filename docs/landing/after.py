from twisted.internet import reactor
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect


class Page(Resource):
    def _delayedRender(self, request):
        request.write(b"Sorry to keep you waiting.")
        request.finish()

    @cancel_on_disconnect
    def render_GET(self, request):
        return reactor.callLater(5, self._delayedRender, request)
