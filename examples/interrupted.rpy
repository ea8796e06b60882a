"""A page that takes five seconds, and stops when its client leaves.

This is the example of Twisted's howto "Interrupted Responses". The howto keeps
the delayed call, asks for `notifyFinish` and cancels the call in an errback.
Here the handler only returns the delayed call.

Run it::

    twist web --path examples

and open http://localhost:8080/interrupted.rpy. Stop loading, or close the tab,
before the five seconds are over. The server's log says that the call was stopped
as soon as you left.
"""

from twisted.internet import reactor
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect


class DelayedResource(Resource):
    """Answers after five seconds."""

    def _delayedRender(self, request):
        request.write(b"<html><body>Sorry to keep you waiting.</body></html>")
        request.finish()

    @cancel_on_disconnect
    def render_GET(self, request):
        """Return the delayed call. If the client leaves, it is cancelled."""
        return reactor.callLater(5, self._delayedRender, request)


resource = DelayedResource()
