from twisted.application.service import Application
from twisted.application.strports import service
from twisted.web.resource import Resource
from twisted.web.server import Site

from cancelweb import CancellingResource
from cancelweb.monitor import Monitor
from cancelweb.status import StatusResource

application = Application("shop")
monitor = Monitor()
site = Site(CancellingResource(Resource(), monitor=monitor))
service("tcp:8080", site).setServiceParent(application)

status = Site(StatusResource(monitor))
service("tcp:8081:interface=127.0.0.1", status).setServiceParent(application)
