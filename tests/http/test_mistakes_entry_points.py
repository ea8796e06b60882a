"""What is decorated or wrapped by mistake: the complete messages.

What belongs here: mistakes in the use of the decorator and the wrapper. What does not: wrong values
of options, and what handlers get wrong.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from flask import Flask
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.protocols.policies import WrappingFactory
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.test.requesthelper import DummyRequest

from cancelweb import CancellingResource, cancel_on_disconnect
from cancelweb.connections import notice_vanished
from cancelweb.monitor import Monitor

from .._pages import PAGE, GetPage, waiting
from ._mistakes import MistakeTestCase, place

decorate: Any = cancel_on_disconnect
wrap: Any = CancellingResource


def render(request: Request) -> bytes:
    """A function that is put where it does not belong."""
    return PAGE


class Report(Resource):
    """A resource with methods that cannot be decorated as they are."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Find a child."""
        return self


async def load(request: Request) -> bytes:
    """A part of a page."""
    return await Deferred()


async def awaiting(request: Request) -> object:
    """Await a part that is decorated."""
    part = decorate(load)(request)
    return await part


PLACE = place(render)
DECORATES = "cancel_on_disconnect decorates functions that take a request"
WSGI = (
    "If it is a WSGI application, wrap WSGIResource(reactor, reactor.getThreadPool(), application)."
)

SITE = Site(Resource())
A_SITE = (
    "a Site or another protocol factory. Wrap the Site's resource: Site(CancellingResource(root))."
)

DECORATED: list[tuple[object, str]] = [
    (
        Report,
        f"{DECORATES}, and Report is a class. Decorate its render methods, or wrap an instance: "
        "CancellingResource(Report()).",
    ),
    (
        staticmethod(render),
        f"{PLACE}: the decorators are in the wrong order. Put @staticmethod above "
        "@cancel_on_disconnect.",
    ),
    (
        classmethod(cast(Any, render)),
        f"{PLACE}: the decorators are in the wrong order. Put @classmethod above "
        "@cancel_on_disconnect.",
    ),
    (
        Report.getChild,
        f"{place(Report.getChild)} returns a resource and not a response, so "
        "cancel_on_disconnect cannot decorate it. Decorate the render methods of that resource.",
    ),
    *[(wrong, f"{DECORATES}, not {A_SITE}") for wrong in (SITE, Site)],
    (
        30,
        f"{DECORATES}, not 30. Give options by name, as in cancel_on_disconnect(timeout=30).",
    ),
]
"""What is decorated by mistake."""

WRAPPED: list[tuple[object, str]] = [
    (Report, "the class Report. Wrap an instance: CancellingResource(Report())."),
    *[(wrong, A_SITE) for wrong in (SITE, Site, WrappingFactory(SITE), notice_vanished(SITE, 5))],
    (Flask("shop"), f"<Flask 'shop'>. {WSGI}"),
    ("/srv/www", "'/srv/www'. To serve files, wrap twisted.web.static.File(path)."),
    (
        Path("/srv/www"),
        "PosixPath('/srv/www'). To serve files, wrap twisted.web.static.File(path).",
    ),
    (
        render,
        "the function render. If it handles requests, decorate it with @cancel_on_disconnect. If "
        f"it makes a resource, call it. {WSGI}",
    ),
    (None, "None, which has no render method"),
]
"""What is wrapped by mistake, and how the message goes on after "wraps a resource, not"."""


class DecoratedTests(MistakeTestCase):
    """What the decorator refuses."""

    def test_each(self) -> None:
        """The error of what cannot be decorated says what to decorate, or in which order."""
        for wrong, message in DECORATED:
            self.assert_raises(message, lambda wrong=wrong: decorate(wrong))
            self.assert_raises(message, lambda wrong=wrong: decorate(timeout=3)(wrong))

    def test_a_resource(self) -> None:
        """The error of a resource that is decorated says how to wrap it."""
        root = Resource()
        message = f"{DECORATES}, not {root!r}. Wrap a resource: CancellingResource(resource)."
        self.assert_raises(message, lambda: decorate(root))

    def test_what_a_function_returned(self) -> None:
        """The error of a function that was called, and not passed, says to pass the function."""
        result: Deferred[bytes] = Deferred()
        message = f"{DECORATES}, not {result!r}. Pass the function itself, without calling it."
        self.assert_raises(message, lambda: decorate(result))

    def test_the_right_order(self) -> None:
        """`@staticmethod` and `@classmethod` work above `@cancel_on_disconnect`."""
        page = GetPage(waiting)
        for kind in (staticmethod, classmethod):
            found = kind(cancel_on_disconnect(lambda *args: PAGE)).__get__(page, GetPage)
            connection = self.serve_resource(GetPage(found))
            connection.get()
            self.assertEqual(connection.response.body, PAGE)


class WrappedTests(MistakeTestCase):
    """What the wrapper refuses."""

    def test_each(self) -> None:
        """The error of what cannot be wrapped says what to wrap in its place."""
        for wrong, message in WRAPPED:
            whole = f"CancellingResource wraps a resource, not {message}"
            self.assert_raises(whole, lambda wrong=wrong: wrap(wrong))

    def test_a_klein_app(self) -> None:
        """The error of a Klein app that is wrapped says how to get its resource."""
        app = Klein()
        self.assert_raises(
            f"CancellingResource wraps a resource, not {app!r}. Wrap the resource of the app: "
            "CancellingResource(app.resource()).",
            lambda: wrap(app),
        )


OPTIONS: list[tuple[Callable[[], object], str]] = [
    (
        lambda: decorate(time_out=3),
        "cancel_on_disconnect has no option 'time_out'. Did you mean 'timeout'?",
    ),
    (
        lambda: decorate(methods=["GET"]),
        "cancel_on_disconnect has no option 'methods'. Only CancellingResource has it.",
    ),
    (
        lambda: decorate(monitor=Monitor()),
        "cancel_on_disconnect has no option 'monitor'. Only CancellingResource has it.",
    ),
    (
        lambda: wrap(Resource(), on_cancelled=print),
        "CancellingResource has no option 'on_cancelled'. Did you mean 'on_cancel'?",
    ),
    (
        lambda: decorate(retries=3),
        "cancel_on_disconnect has no option 'retries'. Its options are timeout, total_timeout, "
        "stall_timeout, timeout_header, timeout_status, error_page, on_cancel, on_exit, observers, "
        "cleanup_timeout, survivor_after, max_abandoned, clock.",
    ),
    (
        lambda: wrap(Resource(), 30),
        "CancellingResource takes its options by name, as in timeout=30.",
    ),
    (
        lambda: decorate(render, 30),
        "cancel_on_disconnect takes its options by name, as in timeout=30.",
    ),
]
"""Options with a wrong name, or without one."""


class OptionNamesTests(MistakeTestCase):
    """Options that an entry point does not have."""

    def test_each(self) -> None:
        """The error of an unknown option names the one that may be meant, or where it belongs."""
        for call, message in OPTIONS:
            self.assert_raises(message, call)


class CalledTests(MistakeTestCase):
    """A decorated function is called as if it were not decorated."""

    def test_without_a_request(self) -> None:
        """The error of a decorated function that gets no request shows what it got."""

        def load(sql: str) -> bytes:
            return PAGE

        self.assert_raises(
            f"{place(load)} was called without a request; its positional arguments "
            "were ('SELECT 1'). The request is the first positional argument that has a "
            "notifyFinish. Decorate only functions that take the request.",
            lambda: decorate(load)("SELECT 1"),
        )

    def test_with_the_request_by_name(self) -> None:
        """The error of a request that is passed by name says to pass it by position."""
        self.assert_raises(
            f"{PLACE} was called without a request; its positional arguments were (). Pass the "
            "request by position, not by name.",
            lambda: decorate(render)(request=DummyRequest([])),
        )

    def test_awaited(self) -> None:
        """The error of awaiting a decorated function says which function to decorate."""

        connection = self.visit(awaiting)
        self.assertEqual(
            str(self.assert_failed(connection, TypeError)),
            f"{place(awaiting, 3)} awaited NOT_DONE_YET, which {place(load)} returned, "
            "because it is decorated with @cancel_on_disconnect. Decorate only the function that "
            "Twisted calls.",
        )
