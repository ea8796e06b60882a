"""What handlers return by mistake: the complete messages.

What belongs here: results that are not a response. What does not: what a stream yields, asyncio,
scopes, and what entry points refuse.
"""

from typing import Any, cast

from flask import Response
from twisted.web.iweb import IResponse
from twisted.web.resource import Resource
from twisted.web.server import Request
from twisted.web.template import Element
from zope.interface import classImplements

from cancelweb import cancel_on_disconnect

from .._pages import PAGE, returning
from ._mistakes import MistakeTestCase, place


class Fetched:
    """What a client of another server gets, as far as it is needed here."""

    def __repr__(self) -> str:
        return "<Response 200>"


classImplements(Fetched, IResponse)  # type: ignore[misc]


async def load() -> bytes:
    """Work that a handler forgets to call."""
    return PAGE


class Own:
    """A class that cancelweb knows nothing about."""

    def __repr__(self) -> str:
        return "<own>"


RETURNED: list[tuple[object, str]] = [
    ("hello", "'hello', of type str. Return bytes, as in `text.encode()`."),
    (
        "hello " * 20,
        f"'{'hello ' * 9}he..., of type str. Return bytes, as in `text.encode()`.",
    ),
    (
        [("Ada", 36)],
        "[('Ada', 36)], of type list. Return bytes; for JSON, `json.dumps(rows).encode()`. To "
        "stream chunks of bytes, return `iter(chunks)`.",
    ),
    (
        {"name": "Ada"},
        "{'name': 'Ada'}, of type dict. Return bytes; for JSON, `json.dumps(result).encode()`.",
    ),
    (
        404,
        "404, of type int. Set the status with `request.setResponseCode()`, and return the page as "
        "bytes.",
    ),
    (
        True,
        "True, of type bool. Return bytes, NOT_DONE_YET, or work such as a Deferred or a "
        "coroutine. For work of your own kind, register a canceller that provides "
        "cancelweb.ICancellable.",
    ),
    (
        Own(),
        f"<own>, of type {__name__}.Own. Return bytes, NOT_DONE_YET, or work such as a Deferred or "
        "a coroutine. For work of your own kind, register a canceller that provides "
        "cancelweb.ICancellable.",
    ),
    (bytearray(b"a"), "bytearray(b'a'), of type bytearray. Return bytes, as in `bytes(result)`."),
    (load, "the function load without calling it. Write `return load(...)`."),
    (Element, "the class Element. Return an instance: `return Element(...)`."),
    (
        Response("hello"),
        "<Response 5 bytes [200 OK]>, of type flask.wrappers.Response. Twisted does not accept "
        "response objects. Set the status and the headers on the request, and return the body as "
        "bytes.",
    ),
    (
        Fetched(),
        f"<Response 200>, of type {__name__}.Fetched. This is the response of another server. "
        "Return its body, as in `await treq.content(response)`.",
    ),
]
"""What handlers return by mistake, and how the message goes on after "returned"."""


class ReturnedTests(MistakeTestCase):
    """A result that is not a response is answered 500; the message names handler and way out."""

    def test_each(self) -> None:
        """The error of a handler names its file and line, its result, and what to return."""
        for result, message in RETURNED:

            def handler(_: Request, result: object = result) -> object:
                return result

            async def coroutine(_: Request, result: object = result) -> object:
                return result

            self.assert_says(handler, f"{{at}} returned {message}")
            self.assert_says(coroutine, f"{{at}} returned {message}")

    def test_a_resource(self) -> None:
        """The error of a handler that returns a resource says how to render that."""
        resource = Resource()
        self.assert_says(
            handler := returning(resource),
            f"{place(handler)} returned {resource!r}, of type twisted.web.resource.Resource. To "
            "render another resource, return `resource.render(request)`.",
        )

    def test_none(self) -> None:
        """The error of a handler without a result asks whether its `return` is missing."""

        def handler(_: Request) -> None:
            returning(PAGE)

        self.assert_says(
            handler,
            "{at} returned None. Did you forget a `return`? Return the page as bytes, or the work "
            "that makes it. If other code will answer the request, return NOT_DONE_YET.",
        )

    def test_none_after_a_response(self) -> None:
        """The error of a handler that has finished a response tells it to return NOT_DONE_YET."""

        def handler(request: Request) -> None:
            request.write(PAGE)
            request.finish()

        connection = self.visit(handler)
        self.assertEqual(connection.response.body, PAGE)
        self.assertEqual(
            str(self.logged_error(TypeError)),
            f"{place(handler)} wrote the response itself and returned None. Return NOT_DONE_YET "
            "instead.",
        )

    def test_of_a_helper(self) -> None:
        """The error of a decorated helper says that the decorator may have to go."""

        def rows(request: Request) -> object:
            return [1]

        decorated: Any = cancel_on_disconnect(cast(Any, rows))
        self.assert_says(
            lambda request: decorated(request),
            f"{place(rows)} returned [1], of type list. Return bytes; for JSON, "
            "`json.dumps(rows).encode()`. To stream chunks of bytes, return `iter(chunks)`. If "
            "rows does not answer the request, remove @cancel_on_disconnect from it.",
        )
