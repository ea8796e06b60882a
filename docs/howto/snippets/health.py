from twisted.application.service import Application
from twisted.application.strports import service
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

from cancelweb import CancellingResource
from cancelweb.health import LivenessResource, ReadinessResource
from cancelweb.monitor import Monitor

monitor = Monitor()
root = Resource()  # Put your site's resources below this one.
root.putChild(b"readyz", ReadinessResource(monitor))
root.putChild(b"livez", LivenessResource())

application = Application("shop")
site = Site(CancellingResource(root, monitor=monitor))
service("tcp:8080", site).setServiceParent(application)
reactor.addSystemEventTrigger("before", "shutdown", monitor.drain, 15, exit_after=5)
