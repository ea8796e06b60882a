"""A page after five seconds, for as long as somebody waits for it.

This is the example of Twisted's howto "Interrupted Responses". The howto keeps
the delayed call, asks for `notifyFinish` and cancels the call in an errback.
Here the delayed call is returned, and that is all.

Run it::

    twist web --path examples

and open http://localhost:8080/interrupted.rpy. Stop loading, or close the tab,
before the five seconds are over: the server's log tells that the call was
stopped, in the instant in which you left.
"""

from twisted.internet import reactor
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect


class DelayedResource(Resource):
    """Answers five seconds after it was asked."""

    def _delayedRender(self, request):
        request.write(b"<html><body>Sorry to keep you waiting.</body></html>")
        request.finish()

    @cancel_on_disconnect
    def render_GET(self, request):
        """Return the delayed call: a client that leaves cancels it."""
        return reactor.callLater(5, self._delayedRender, request)


resource = DelayedResource()
