from twisted.application.service import Application
from twisted.application.strports import service
from twisted.web.resource import Resource
from twisted.web.server import Site

from cancelweb import CancellingResource
from cancelweb.connections import notice_vanished

application = Application("reports")
site = Site(CancellingResource(Resource()))
service("tcp:8080", notice_vanished(site, 30)).setServiceParent(application)
