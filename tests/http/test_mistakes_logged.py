"""Mistakes that raise nothing, so that only the log reports them: the complete messages.

What belongs here: empty pages, wrapped resources, and Klein. What does not: what is raised.
"""

from collections.abc import Callable
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred, succeed
from twisted.logger import LogLevel, formatEvent
from twisted.web.resource import Resource
from twisted.web.server import Request

from cancelweb import CancellingResource, cancel_on_disconnect

from .._logs import log_events, of_cancelweb
from .._pages import PAGE, GetPage, Page, returning
from ._mistakes import MistakeTestCase, place

decorate: Any = cancel_on_disconnect


class Silent(Resource):
    """A resource whose GET has no `return`."""

    isLeaf = True

    async def render_GET(self, _: Request) -> None:
        """Forget the page."""
        await succeed(None)


class Texts(Resource):
    """A resource whose GET comes to a str."""

    isLeaf = True

    def render_GET(self, _: Request) -> Any:
        """Forget to encode the page."""
        return succeed("hello")


EMPTY = (
    "returned None and wrote nothing, so the client gets an empty page. Did you forget a "
    "`return`? If the page is meant to be empty, return b''. (logged once)"
)


class EmptyPageTests(MistakeTestCase):
    """A handler that waits, and whose `return` is missing, sends an empty page: the log warns."""

    def test_of_a_coroutine(self) -> None:
        """A coroutine that returned and wrote nothing is named in a warning, once."""

        async def handler(_: Request) -> None:
            await succeed(None)

        self.assert_logs(
            self.decorated(handler),
            f"{place(handler)} {EMPTY}",
            LogLevel.warn,
        )

    def test_of_a_wrapped_resource(self) -> None:
        """The warning for a wrapped resource names the method that Twisted has called."""
        root, method = CancellingResource(Silent()), Silent.render_GET
        self.assert_logs(root, f"{place(method)} {EMPTY}", LogLevel.warn)

    def test_not_where_it_may_be_meant(self) -> None:
        """A page that was written, has a status of its own, or answers a POST is not a mistake."""

        async def written(request: Request) -> None:
            request.write(PAGE)

        async def redirecting(request: Request) -> None:
            request.redirect(b"/other")

        async def empty(_: Request) -> bytes:
            return b""

        async def saving(_: Request) -> None:
            await succeed(None)

        events = log_events(self)
        for handler in (written, redirecting, empty):
            self.visit(handler)
        self.serve(saving, Page).request(b"POST", body=b"")  # type: ignore[arg-type]
        self.assertEqual(of_cancelweb(events, LogLevel.warn), [])


class WrappedTests(MistakeTestCase):
    """What a wrapped resource returns by mistake: Twisted answers 500, and cancelweb logs why."""

    def test_is_logged_once(self) -> None:
        """A wrapped resource that returns no bytes is logged once, and Twisted answers for it."""

        def render(_: Request) -> str:
            return "hello"

        root = CancellingResource(GetPage(render))
        self.assert_logs(
            root,
            f"{place(render)} returned 'hello', of type str. Return bytes, as in "
            "`text.encode()`. Twisted answers 500. (logged once)",
            LogLevel.error,
        )

    def test_head(self) -> None:
        """A GET that Twisted calls for a HEAD is named as the method it is."""
        connection = self.serve_resource(CancellingResource(Texts()))
        connection.request(b"HEAD")
        self.assertEqual(
            str(self.logged_error(TypeError)),
            f"{place(Texts.render_GET)} returned 'hello', of type str. Return bytes, as in "
            "`text.encode()`.",
        )

    def test_not_where_other_code_has_called_it(self) -> None:
        """Code that calls a wrapped resource itself may know what to do with the result."""
        wrapped = CancellingResource(GetPage(returning("hello")))
        events = log_events(self)
        page = Page(lambda request: str(wrapped.render(request)).encode())
        connection = self.serve_resource(page)
        connection.get()
        self.assertEqual(connection.response.body, b"hello")
        self.assertEqual(of_cancelweb(events), [])


class KleinTests(MistakeTestCase):
    """A Klein view is decorated: Klein sends an empty page, and the log says so."""

    def app(self, view: Callable[[Any], Any]) -> Any:
        """The resource of an app whose only view is decorated."""
        app = Klein()
        app.route("/")(decorate(view))
        return app.resource()

    def message(self, view: Callable[..., object]) -> str:
        """What the log says of a view."""
        return (
            f"Klein sent an empty page and did not wait for {place(view)}: a view that is "
            "decorated with @cancel_on_disconnect returns NOT_DONE_YET to Klein. Remove the "
            f"decorator from view, and wrap the app: CancellingResource(app.resource()) "
            "(logged once)"
        )

    def lines(self, root: Any) -> list[str]:
        """What a GET, which gets an empty page, has cancelweb log as an error."""
        events = log_events(self)
        connection = self.serve_resource(root)
        connection.get()
        self.assertEqual((connection.response.code, connection.response.body), (200, b""))
        return [formatEvent(event) for event in of_cancelweb(events, LogLevel.error)]

    def test_alone(self) -> None:
        """The error names the decorated view that Klein does not wait for."""

        async def view(_: Request) -> bytes:
            return await Deferred()

        self.assertEqual(self.lines(self.app(view)), [self.message(view)])

    def test_in_a_wrapper(self) -> None:
        """The error names the decorated view in a Klein app that is wrapped, once."""

        def view(_: Request) -> Deferred[bytes]:
            return Deferred()

        root = CancellingResource(self.app(view))
        self.assertEqual(self.lines(root), [self.message(view)])
        self.assertEqual(self.lines(root), [])

    def test_no_wait(self) -> None:
        """A decorated view that returns its page at once is not a mistake."""
        events = log_events(self)
        connection = self.serve_resource(self.app(returning(PAGE)))
        connection.get()
        self.assertEqual(connection.response.body, PAGE)
        self.assertEqual(of_cancelweb(events), [])

    def test_work_that_goes_on(self) -> None:
        """A decorated handler that finishes its response itself and goes on is not a mistake."""

        async def handler(request: Request) -> None:
            request.write(PAGE)
            request.finish()
            await Deferred()

        page = self.decorated(handler)
        app = Klein()
        app.route("/")(lambda _: page)
        for root in (app.resource(), CancellingResource(app.resource())):
            events = log_events(self)
            connection = self.serve_resource(root)
            connection.get()
            self.assertEqual(connection.response.body, PAGE)
            self.assertEqual(of_cancelweb(events), [])

    def test_a_view_that_klein_awaits(self) -> None:
        """A wrapped Klein app finishes each response itself, which is not a mistake."""
        works: list[Deferred[bytes]] = []
        app = Klein()
        app.route("/")(lambda _: works[-1])
        for page in (PAGE, b""):
            works.append(Deferred())
            events = log_events(self)
            connection = self.serve_resource(CancellingResource(app.resource()))
            connection.get()
            works[-1].callback(page)
            self.assertEqual(connection.response.body, page)
            self.assertEqual(of_cancelweb(events), [])
