"""Resources of Twisted and of other projects, as the tests serve them: plain and wrapped.

What belongs here: making each of them, with fixed content. What does not: anything that
knows about cancelweb.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask
from klein import Klein
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.twisted import MetricsResource
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.iweb import ICredentialFactory
from twisted.web.resource import EncodingResourceWrapper, IResource, Resource
from twisted.web.script import ResourceScript
from twisted.web.server import GzipEncoderFactory, Request
from twisted.web.static import Data, File
from twisted.web.template import Element, TagLoader, renderElement, renderer, tags
from twisted.web.twcgi import FilteredScript
from twisted.web.util import DeferredResource
from twisted.web.vhost import NameVirtualHost
from twisted.web.wsgi import WSGIResource
from twisted.web.xmlrpc import XMLRPC
from zope.interface import implementer

from .._pages import Page
from .._servers import reactor

_Value = TypeVar("_Value")

TEXT = b"".join(b"line %d\n" % number for number in range(20_000))


def later(value: _Value) -> Deferred[_Value]:
    """A Deferred that fires with the value in a later turn."""
    return deferLater(reactor, 0, lambda: value)


class Script(FilteredScript):
    """CGI programs that run with the Python of the tests."""

    filter = sys.executable


RPY = """
from twisted.web.static import Data
resource = Data(b"made by a script", "text/plain")
"""

# Written at once: how much of it is in each chunk is not left to chance.
CGI = """
import os, sys
head = "Content-Type: text/plain\\nX-Query: " + os.environ["QUERY_STRING"]
body = os.environ["REQUEST_METHOD"] + " " + sys.stdin.read()
os.write(1, (head + "\\n\\n" + body).encode())
"""


LONG_AGO = 1_000_000_000
"""In seconds since 1970."""


def files(directory: Path) -> File:
    """A directory with a text, an empty file, a program and a script."""
    directory.mkdir(parents=True, exist_ok=True)
    contents = {"text.txt": TEXT, "empty": b"", "made.rpy": RPY.encode(), "run.cgi": CGI.encode()}
    for name, content in contents.items():
        path = directory / name
        path.write_bytes(content)
        # Made twice, perhaps in two seconds: Last-Modified must be the same.
        os.utime(path, (LONG_AGO, LONG_AGO))
    root = File(str(directory))
    processors: Any = {".rpy": ResourceScript, ".cgi": Script}
    root.processors = processors
    return root


def flask() -> WSGIResource:
    """A Flask application: a page, an echo, a stream, and an error."""
    app = Flask(__name__)

    @app.get("/hello/<name>")
    def hello(name: str) -> tuple[str, int, dict[str, str]]:
        return f"hello {name}", 203, {"X-Made-By": "flask"}

    @app.post("/echo")
    def echo() -> bytes:
        from flask import request

        body: bytes = request.get_data()
        return body

    @app.get("/stream")
    def stream() -> Any:
        return app.response_class(f"chunk {number}\n" for number in range(100))

    return WSGIResource(reactor, reactor.getThreadPool(), app)


def klein() -> Any:
    """A Klein application: bytes, a coroutine, an error page, a branch of files."""
    app = Klein()

    @app.route("/")
    def home(request: Any) -> str:
        return "home"

    @app.route("/late/<int:number>", methods=["GET", "POST"])
    async def late(request: Any, number: int) -> bytes:
        request.setHeader("x-number", str(number))
        return await later(b"late")

    @app.route("/template")
    def template(request: Any) -> Element:
        return LatePage()

    @app.route("/static/", branch=True)
    def static(request: Any) -> Resource:
        root = Resource()
        root.putChild(b"data", Data(b"data", "text/plain"))
        return root

    return app.resource()


class LatePage(Element):
    """A template with a slot that is filled late."""

    loader = TagLoader(tags.p(tags.b("so: "), tags.i(render="late")))

    @renderer
    def late(self, request: object, tag: Any) -> Deferred[Any]:
        """Fill the slot in a later turn."""
        return later(tag("filled"))


def template() -> Resource:
    """A page that renders a template."""
    return Page(lambda request: renderElement(request, LatePage()))


class Calls(XMLRPC):
    """XML-RPC procedures: one that answers at once, and one that answers late."""

    def xmlrpc_add(self, a: int, b: int) -> int:
        """Return the sum."""
        return a + b

    def xmlrpc_late(self) -> Deferred[Any]:
        """Return a Deferred that fires in a later turn."""
        return later("late")


def page(content: bytes) -> Data:
    """A page that is the same at every path."""
    made = Data(content, "text/plain")
    made.isLeaf = True
    return made


def named_hosts(**pages: Any) -> Any:
    """Virtual hosts by name, with a default page for all other names."""
    hosts: Any = NameVirtualHost()
    for name, content in pages.items():
        hosts.addHost(name.encode(), content)
    hosts.default = page(b"default")
    return hosts


@implementer(IRealm)
class Realm:
    """A realm in which all users get the same page."""

    def __init__(self, page: Any) -> None:
        self._page = page

    def requestAvatar(self, avatar_id: object, mind: object, *interfaces: Any) -> Any:
        """Hand out the page."""
        return IResource, self._page, lambda: None


def guarded(page: Any) -> HTTPAuthSessionWrapper:
    """The page behind a password, for the user "user" with the password "password"."""
    checker = InMemoryUsernamePasswordDatabaseDontUse(user=b"password")
    factory: ICredentialFactory = BasicCredentialFactory(b"realm")
    return HTTPAuthSessionWrapper(Portal(Realm(page), [checker]), [factory])


def compressed(page: Any) -> EncodingResourceWrapper:
    """The page, compressed with gzip for clients that accept it."""
    return EncodingResourceWrapper(page, [GzipEncoderFactory()])


def delivered_late(page: Any) -> DeferredResource:
    """A `DeferredResource` that delivers the page in a later turn."""
    return DeferredResource(later(page))


def metrics() -> Any:
    """A Prometheus metrics page with one metric."""
    registry = CollectorRegistry()
    Gauge("answers", "How many.", registry=registry).set(42)
    return MetricsResource(registry)


class LateAgain(Resource):
    """A resource that delivers a new late child for every path."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        self._make = make

    def getChild(self, path: bytes, request: Request) -> Any:
        """Deliver a new child late, at any path."""
        return delivered_late(self._make())
