from twisted.application.service import Application
from twisted.application.strports import service
from twisted.web.resource import Resource
from twisted.web.server import Site

from cancelweb import CancellingResource
from cancelweb.connections import bound_http2

application = Application("reports")
site = Site(CancellingResource(Resource()))
listen = "ssl:8443:privateKey=key.pem:certKey=cert.pem"
service(listen, bound_http2(site)).setServiceParent(application)
