from twisted.application.service import Application
from twisted.application.strports import service
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

from cancelweb import CancellingResource
from cancelweb.monitor import Monitor
from cancelweb.status import QuietSite, StatusResource

application = Application("shop")
root = Resource()  # Put your site's resources below this one.

monitor = Monitor()
site = Site(CancellingResource(root, monitor=monitor, timeout=30))
service("tcp:8080", site).setServiceParent(application)
reactor.addSystemEventTrigger("before", "shutdown", monitor.drain, 5, exit_after=5)

status = QuietSite(StatusResource(monitor))
service("tcp:8081:interface=127.0.0.1", status).setServiceParent(application)
