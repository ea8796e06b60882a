"""`CancellingResource` around resources that know nothing about cancelweb.

What is delivered late has a module of its own, as has the meeting of entry points.
"""

import copy
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.python.components import Adapter
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import EncodingResourceWrapper, IResource, Resource
from twisted.web.server import NOT_DONE_YET, GzipEncoderFactory, Request
from twisted.web.static import Data
from zope.interface import Interface, implementer, providedBy
from zope.interface.verify import verifyObject

from cancelweb import (
    CancellingResource,
    Disconnected,
    Ended,
    Outcome,
    scope_of,
)
from cancelweb.testing import Connection

from .._pages import NoHead, Page
from .._visits import connect


class Where(Resource):
    """A resource that tells what it knows about its path; its child `leaf` is a leaf."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        if depth:
            self.putChild(b"child", Where(depth - 1))
            self.putChild(b"leaf", Page(self.render_GET))
            self.putChild(b"", self)

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Have a child for every name that begins with x."""
        return Where(0) if path.startswith(b"x") else super().getChild(path, request)

    def render_GET(self, request: Request) -> bytes:
        """Send what the resource knows about its path."""
        return repr((request.prepath, request.postpath, request.childLink(b"c"))).encode()


PATHS = [
    b"/",
    b"/child",
    b"/child/",
    b"/child/leaf/a/b",
    b"/leaf//",
    b"/xy%20z",
    b"/none",
    b"/xy/n",
]


class TransparentTests(SynchronousTestCase):
    """A wrapped resource looks as it did before."""

    def test_children_and_paths(self) -> None:
        """A wrapped resource finds the same children as before, with the same paths."""
        for path in PATHS:
            plain, wrapped = connect(Where()), connect(CancellingResource(Where()))
            for connection in (plain, wrapped):
                connection.get(path=path)
            self.assertEqual(wrapped.response, plain.response)

    def test_leaves_and_methods(self) -> None:
        """A wrapper has the `isLeaf` of its resource, and answers every method as that does."""
        for resource in (Page(lambda _: b"page"), Where()):
            self.assertEqual(CancellingResource(resource).isLeaf, resource.isLeaf)
            for method in (b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS"):
                plain, wrapped = connect(resource), connect(CancellingResource(resource))
                for connection in (plain, wrapped):
                    connection.request(method, b"/")
                self.assertEqual(wrapped.response, plain.response)

    def test_is_leaf_that_is_set(self) -> None:
        """The `isLeaf` that a wrapper is given is set on the wrapped resource."""
        page = Page(lambda _: b"page")
        CancellingResource(page).isLeaf = False
        self.assertFalse(page.isLeaf)

    def test_children_that_are_put_later(self) -> None:
        """A child that is put into a wrapper is put into the wrapped resource."""
        root = Where()
        wrapper = CancellingResource(root)
        wrapper.putChild(b"new", Data(b"new", "text/plain"))
        connection = connect(wrapper)
        connection.get(path=b"/new")
        self.assertEqual(connection.response.body, b"new")
        self.assertIn(b"new", root.listStaticNames())

    def test_encoders(self) -> None:
        """A resource that compresses does so inside a wrapper and around one."""
        factories = [GzipEncoderFactory()]
        page = Page(lambda _: b"page" * 100)
        for resource in (
            CancellingResource(EncodingResourceWrapper(page, factories)),
            EncodingResourceWrapper(CancellingResource(page), factories),
        ):
            connection = connect(resource)
            connection.get(headers={b"Accept-Encoding": b"gzip"})
            self.assertEqual(connection.response.header(b"content-encoding"), b"gzip")

    def test_interfaces(self) -> None:
        """A wrapper provides what the wrapped resource provides, and nothing else."""

        class IOwn(Interface):
            """An interface of a user's own."""

        @implementer(IOwn)
        class Own(Resource):
            pass

        own, other = CancellingResource(Own()), CancellingResource(Resource())
        self.assertTrue(IOwn.providedBy(own))
        self.assertFalse(IOwn.providedBy(other))
        self.assertTrue(verifyObject(IResource, own))
        self.assertEqual(list(providedBy(own)), list(providedBy(Own())))

    def test_is_a_resource_for_type_checkers(self) -> None:
        """A wrapper can be used where a type checker, and Twisted, want a resource."""
        wrapper: IResource = CancellingResource(Where(0))
        parent = Resource()
        parent.putChild(b"under", CancellingResource(Where(0)))
        wrapper.putChild(b"child", parent)
        self.assertFalse(wrapper.isLeaf)

    def test_an_adapter_finds_what_is_wrapped(self) -> None:
        """A wrapper has the attributes of its resource, and raises AttributeError for others."""
        data = Data(b"data", "text/plain")
        wrapper = CancellingResource(data)
        self.assertEqual((wrapper.data, wrapper.type), (b"data", "text/plain"))
        self.assertIs(Adapter(wrapper).original, wrapper)
        with self.assertRaisesRegex(AttributeError, "nothing"):
            wrapper.nothing  # noqa: B018

    def test_repr(self) -> None:
        """The `repr` of a wrapper names the wrapped resource."""
        data = Data(b"data", "text/plain")
        self.assertEqual(repr(CancellingResource(data)), f"<CancellingResource of {data!r}>")

    def test_copies(self) -> None:
        """A copy of a wrapper wraps the same resource."""
        connection = connect(copy.copy(CancellingResource(Page(lambda _: b"data"))))
        connection.get()
        self.assertEqual(connection.response.body, b"data")


class StoppingTests(SynchronousTestCase):
    """What a wrapped resource returns is served and stopped as a decorated handler's is."""

    def setUp(self) -> None:
        """Note outcomes."""
        self.outcomes: list[Outcome] = []

    def wrap(self, resource: Any, **options: Any) -> Connection:
        """A client of the wrapped resource."""
        return connect(CancellingResource(resource, observers=self.outcomes.append, **options))

    def test_a_childs_deferred(self) -> None:
        """The Deferred of a wrapped child is waited for, or is cancelled when the client leaves."""
        results = [Deferred[bytes](lambda _: None) for _ in range(2)]
        root = Resource()
        left_over = iter(results)
        root.putChild(b"slow", Page(lambda _: next(left_over)))
        completed, left = self.wrap(root), self.wrap(root)
        for connection in (completed, left):
            connection.get(path=b"/slow")
        results[0].callback(b"page")
        left.disconnect()
        self.assertEqual(completed.response.body, b"page")
        self.assertEqual([each.ended for each in self.outcomes], [Ended.COMPLETED, Ended.STOPPED])

    def test_a_resource_that_waits_by_itself(self) -> None:
        """A hook runs for a handler that returned NOT_DONE_YET when the client leaves."""
        ran: list[object] = []

        def render(request: Request) -> int:
            scope_of(request).on_cancel(lambda scope: ran.append(scope.cause))
            return NOT_DONE_YET

        connection = self.wrap(Page(render))
        connection.get()
        connection.disconnect()
        self.assertEqual([type(each) for each in ran], [Disconnected])
        self.assertEqual(self.outcomes[0].ended, Ended.LET_GO)

    def test_a_faked_head(self) -> None:
        """A HEAD that Twisted fakes is told once, and leaves no timer."""

        ran: list[object] = []
        root = Resource()
        root.putChild(b"", NoHead(lambda _: b"page"))
        connection = self.wrap(root, timeout=5, on_exit=ran.append)
        connection.request(b"HEAD", headers={b"Connection": b"close"})
        connection.client.clock.advance(0)
        self.assertEqual(connection.response.header(b"content-length"), b"4")
        self.assertEqual((len(ran), len(self.outcomes)), (1, 1))
        self.assertEqual(connection.client.clock.getDelayedCalls(), [])

    def test_a_klein_app(self) -> None:
        """The routes of a wrapped Klein application are served, and are stopped on a disconnect."""
        app = Klein()
        cancelled: list[object] = []
        result: Deferred[bytes] = Deferred(cancelled.append)

        @app.route("/hello/<name>")
        def hello(request: Request, name: str) -> str:
            return f"Hello, {name}"

        @app.route("/slow/", branch=True)
        async def slow(request: Request) -> bytes:
            scope_of(request).track(result)
            return await result

        connection = self.wrap(app.resource())
        connection.get(path=b"/hello/you")
        self.assertEqual(connection.response.body, b"Hello, you")
        connection = self.wrap(app.resource())
        connection.get(path=b"/slow/deep/path")
        connection.disconnect()
        self.assertEqual(cancelled, [result])
        self.assertIsInstance(self.outcomes[-1].cause, Disconnected)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_klein_app_with_a_deadline(self) -> None:
        """The routes of a wrapped Klein application have the deadline of the wrapper."""
        app = Klein()

        @app.route("/")
        def slow(request: Request) -> Deferred[bytes]:
            return Deferred()

        connection = self.wrap(app.resource(), timeout=3)
        connection.get()
        connection.client.clock.advance(3)
        self.assertEqual(connection.response.code, 503)
        self.assertEqual(self.flushLoggedErrors(), [])
