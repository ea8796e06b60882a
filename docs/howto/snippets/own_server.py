import sys

from twisted.internet import reactor
from twisted.python import log
from twisted.web.resource import Resource
from twisted.web.server import Site

from cancelweb import CancellingResource
from cancelweb.health import ReadinessResource
from cancelweb.monitor import Monitor

log.startLogging(sys.stdout)
monitor = Monitor()
root = Resource()  # Put your site's resources below this one.
root.putChild(b"readyz", ReadinessResource(monitor))
site = Site(CancellingResource(root, monitor=monitor))
port = reactor.listenTCP(8080, site)
reactor.addSystemEventTrigger(
    "before",
    "shutdown",
    monitor.drain,
    30,
    delay=5,
    close=port.stopListening,
    exit_after=5,
)
reactor.run()
