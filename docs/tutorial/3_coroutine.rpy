from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect

log = Logger(namespace="slow")


class SlowPage(Resource):
    @cancel_on_disconnect
    async def render_GET(self, request):
        try:
            for step in range(1, 6):
                log.info("step {step} of 5", step=step)
                await deferLater(reactor, 1)
            return b"<p>Here is your page.</p>\n"
        finally:
            log.info("tidying up")


resource = SlowPage()
