"""Twisted's own resources, wrapped: they no longer raise on a dead request.

These resources finish requests without asking whether the client is still there (trap 32; Twisted
ticket 4901). What is delivered late is for `test_late_children`.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.proxy import ReverseProxyResource
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import File
from twisted.web.template import Element, TagLoader, renderElement, renderer, tags
from twisted.web.xmlrpc import XMLRPC

from cancelweb import CancellingResource, Ended, Outcome
from cancelweb.testing import Connection

from .._pages import Page
from .._visits import connect, kept_request

CALL = b"<?xml version='1.0'?><methodCall><methodName>slow</methodName></methodCall>"


class Calls(XMLRPC):
    """A procedure that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.result: Deferred[str] = Deferred()

    def xmlrpc_slow(self) -> Deferred[str]:
        """Return a Deferred that the test fires."""
        return self.result


class Template(Element):
    """A template with a slot that is filled late."""

    loader = TagLoader(tags.p(render="slow"))

    def __init__(self) -> None:
        super().__init__()
        self.result: Deferred[str] = Deferred()

    @renderer
    def slow(self, request: object, tag: object) -> Deferred[str]:
        """Return a Deferred that the test fires."""
        return self.result


class RealTestCase(SynchronousTestCase):
    """A wrapped resource, and a client that leaves."""

    def setUp(self) -> None:
        """Note outcomes."""
        self.outcomes: list[Outcome] = []

    def serve(self, resource: Any, **options: Any) -> Connection:
        """Wrap the resource."""
        return connect(CancellingResource(resource, observers=self.outcomes.append, **options))

    def assert_quiet(self, connection: Connection) -> None:
        """Nothing was sent, nothing raised, and the scope has closed once."""
        self.assertEqual(connection.received, b"")
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(len(self.outcomes), 1)


class XMLRPCTests(RealTestCase):
    """`twisted.web.xmlrpc`."""

    def test_completes(self) -> None:
        """A call of a wrapped `XMLRPC` is answered as it is without the wrapper."""
        answers = []
        for wrap in (CancellingResource, lambda calls: calls):
            calls = Calls()
            connection = connect(wrap(calls))
            connection.request(b"POST", body=CALL, headers={b"Content-Type": b"text/xml"})
            calls.result.callback("done")
            answers.append(connection.response)
        self.assertEqual(answers[0], answers[1])
        self.assertIn(b"done", answers[0].body)

    def test_a_client_that_leaves(self) -> None:
        """An XML-RPC call whose client has left runs to its end, and is not answered."""
        calls = Calls()
        connection = self.serve(calls)
        connection.request(b"POST", body=CALL)
        connection.disconnect()
        calls.result.callback("done")
        self.assert_quiet(connection)


class TemplateTests(RealTestCase):
    """`twisted.web.template.renderElement`."""

    def test_a_client_that_leaves(self) -> None:
        """A template whose slot is filled after the client has left sends nothing more."""
        page = Template()
        connection = self.serve(Page(lambda request: renderElement(request, page)))
        connection.get()
        connection.disconnect()
        received = connection.received
        page.result.callback("late")
        self.assertEqual(connection.received, received)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(len(self.outcomes), 1)

    def test_a_request_that_is_dead_on_entry(self) -> None:
        """A template for a POST that is dead on entry sends nothing and raises nothing."""
        template = Template()
        connection, request = kept_request(b"POST")
        connection.disconnect()
        page = Page(lambda request: renderElement(request, template))
        CancellingResource(page, observers=self.outcomes.append).render(request)
        template.result.callback("late")
        self.assert_quiet(connection)


class ProxyTests(RealTestCase):
    """`twisted.web.proxy.ReverseProxyResource`."""

    def setUp(self) -> None:
        """Ask a wrapped proxy, and connect it to an upstream that the test plays."""
        super().setUp()
        reactor: Any = MemoryReactorClock()
        self.connection = self.serve(ReverseProxyResource("upstream", 80, b"", reactor))
        self.connection.get(path=b"/")
        factory = reactor.tcpClients[0][2]
        self.upstream: Any = factory.buildProtocol(None)
        self.upstream.makeConnection(StringTransport())

    def answer(self) -> None:
        """Have the upstream answer."""
        self.upstream.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")

    def test_completes(self) -> None:
        """A wrapped proxy sends its upstream's answer to the client."""
        self.answer()
        self.assertEqual(self.connection.response.body, b"page")

    def test_a_client_that_leaves(self) -> None:
        """The answer of an upstream is dropped if the client of the proxy has left."""
        self.connection.disconnect()
        self.answer()
        self.assert_quiet(self.connection)

    def test_a_client_that_leaves_in_the_middle(self) -> None:
        """The rest of an upstream's answer is dropped if the client leaves in the middle of it."""
        self.upstream.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npa")
        received = self.connection.received
        self.connection.disconnect()
        self.upstream.dataReceived(b"ge")
        self.assertEqual(self.connection.received, received)
        self.assertEqual(self.flushLoggedErrors(), [])


class FileTests(RealTestCase):
    """`twisted.web.static.File`."""

    def test_a_client_that_leaves_in_the_middle(self) -> None:
        """A wrapped `File` closes its file when the client leaves."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"x" * 1_000_000)
        opened: list[Any] = []

        class Watched(File):
            def openForReading(self) -> Any:
                opened.append(super().openForReading())
                return opened[-1]

        root = Resource()
        root.putChild(b"file", Watched(path))
        connection = self.serve(root)
        connection.get(path=b"/file")
        connection.disconnect()
        self.assertTrue(opened[0].closed)
        self.assertEqual([each.ended for each in self.outcomes], [Ended.STOPPED])


class OwnSubscriptionTests(RealTestCase):
    """Code that listens to `notifyFinish` itself."""

    def subscribe(self, request: Request) -> None:
        """Finish a lost request, as code often does, and note any error of that."""
        self.errors: list[object] = []
        left: Deferred[Any] = request.notifyFinish()
        left.addErrback(lambda _: request.finish())
        left.addErrback(self.note)

    def note(self, failure: Failure) -> None:
        """Note an error."""
        self.errors.append(type(failure.value))

    def test_may_touch_the_request_after_cancelweb(self) -> None:
        """A callback added after cancelweb's may finish a lost request without an error."""
        connection = self.serve(Page(lambda _: NOT_DONE_YET))

        class Later(Request):
            def render(self, resource: Any) -> None:
                super().render(resource)
                test.subscribe(self)

        test, connection.client.site.requestFactory = self, Later
        connection = connect(connection.client.site, connection.client.clock)
        connection.get()
        connection.disconnect()
        self.assertEqual(self.errors, [])

    def test_may_touch_the_request_before_cancelweb(self) -> None:
        """A callback added by the handler may finish a lost request without an error."""

        def render(request: Request) -> int:
            self.subscribe(request)
            return NOT_DONE_YET

        connection = self.serve(Page(render))
        connection.get()
        connection.disconnect()
        self.assertEqual(self.errors, [])
