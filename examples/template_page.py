"""A twisted.web.template page with a slow part.

Run it::

    PYTHONPATH=examples twist web --class=template_page.Front

`curl -N http://localhost:8080/` gets the page after two seconds. Interrupt it: the slow part stops.
"""

from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.template import Element, Tag, XMLString, renderer

from cancelweb import cancel_on_disconnect

log = Logger()


class Page(Element):
    """A headline and the news."""

    loader = XMLString(
        '<html xmlns:t="http://twistedmatrix.com/ns/twisted.web.template/0.1">'
        '<h1>Today</h1><p t:render="news" /></html>'
    )

    @renderer
    async def news(self, request: IRequest | None, tag: Tag) -> Any:
        """Stand for a slow source."""
        log.info("the news are asked for")
        try:
            await deferLater(reactor, 2)
        finally:
            log.info("the source is closed")
        return tag("No news.")


class Front(Resource):
    """Returns the element itself. With renderElement, cancelweb could not see its end."""

    isLeaf = True

    @cancel_on_disconnect
    def render_GET(self, request: IRequest) -> Page:
        """Return the element. cancelweb writes the doctype, as renderElement does."""
        return Page()
