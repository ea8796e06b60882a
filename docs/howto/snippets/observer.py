from collections import Counter

from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import Site

from cancelweb import CancellingResource, cancel_on_disconnect, current_scope, log_outcome

log = Logger(namespace="shop")


def log_slow(outcome):
    seconds = outcome.closed - outcome.opened
    if seconds > 1:
        log.warn(
            "{handler} took {seconds:.1f} s: {ended}",
            handler=outcome.handler,
            seconds=seconds,
            ended=outcome.ended.name,
            user=outcome.notes.get("user"),
        )


class Report(Resource):
    isLeaf = True

    def __init__(self, calculate):
        super().__init__()
        self.calculate = calculate

    @cancel_on_disconnect(observers=[log_outcome, log_slow])
    async def render_GET(self, request):
        current_scope().note(user=request.getUser().decode())
        return await self.calculate()


def site_of(root):
    return Site(CancellingResource(root, observers=[log_outcome, log_slow]))


class Counts:
    """Count requests by how they ended, and the seconds that work took to stop."""

    def __init__(self):
        self.requests = Counter()
        self.seconds_to_stop = 0.0

    def __call__(self, outcome):
        cause = "none" if outcome.cause is None else type(outcome.cause).__name__
        self.requests[outcome.ended.name, cause] += 1
        if outcome.cancelled is not None:
            self.seconds_to_stop += outcome.stopped - outcome.cancelled
