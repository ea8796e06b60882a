from pathlib import Path

from twisted.web.resource import Resource
from twisted.web.server import Site

from cancelweb import CancellingResource

PAGE = Path("503.html").read_bytes()


def error_page(request, cause):
    return PAGE


site = Site(CancellingResource(Resource(), timeout=30, error_page=error_page))
