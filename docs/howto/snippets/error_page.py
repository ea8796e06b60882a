from attrs import frozen
from twisted.web.resource import Resource
from twisted.web.server import Site

from cancelweb import CancellingResource, Cause, TimedOut


@frozen
class QuotaUsedUp(Cause):
    status = 429

    seconds: int

    @property
    def headers(self):
        return {"Retry-After": str(self.seconds)}


def error_page(request, cause):
    if not request.path.startswith(b"/api/"):
        return None
    request.setHeader("Content-Type", "application/vnd.example+json")
    if isinstance(cause, TimedOut):
        request.setResponseCode(504)
        return b'{"error": "too slow"}'
    return b'{"error": "come again later"}'


site = Site(CancellingResource(Resource(), timeout=30, error_page=error_page))
