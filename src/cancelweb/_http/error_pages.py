"""Error pages: the answer to a cancelled or turned-away request, from the site or by default.

`answering` and `turned_away` decide when a page is sent; `site_pages` calls the site's
``error_page``. The default page shows the status and headers of a user's cause but not its text,
which may be meant for the log alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from http import HTTPStatus
from typing import Any

from attrs import frozen
from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr
from twisted.web.http import NO_BODY_CODES, RESPONSES

from .._headers import check_headers
from .._log import log
from .._scopes.states import Fate
from .._scopes.telling import log_failure_in, log_in
from .._twisted.access import has_encoder
from .._unavailable import Unavailable
from ..causes import Cause, RapidReset
from .dead_requests import guard_answered
from .negotiation import preferred
from .pages import make_last, send
from .request_facts import fate_of, has_begun
from .request_scope import RequestScope
from .site_pages import ErrorPage, page_of_site

STOPPED = "The request was stopped before it was done."
UNREACHABLE = "A server that is needed for the answer cannot be reached."

_OF_THE_PAGE = (
    b"accept-ranges",
    b"content-digest",
    b"content-disposition",
    b"content-language",
    b"content-length",
    b"content-location",
    b"content-md5",
    b"content-range",
    b"digest",
    b"etag",
    b"expires",
    b"last-modified",
    b"link",
    b"location",
    b"repr-digest",
    b"trailer",
    b"transfer-encoding",
)
"""Headers that describe the handler's own page, and would be wrong for an error page."""


@frozen
class Form:
    """One form of the default page: HTML, JSON or plain text.

    Attributes:
        content_type: the ``Content-Type`` of the answer.
        names: the media types by which clients ask for this form.
        make: makes the page from a status, its phrase, and a sentence.
    """

    content_type: str
    names: tuple[str, ...]
    make: Callable[[int, str, str], str]


def _html(status: int, title: str, detail: str) -> str:
    return (
        f"<!DOCTYPE html>\n<html><head><title>{status} - {escape(title)}</title></head>"
        f"<body><h1>{escape(title)}</h1><p>{escape(detail)}</p></body></html>"
    )


def _problem(status: int, title: str, detail: str) -> str:
    """A JSON problem as in RFC 9457."""
    members = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return json.dumps(members)


def _text(status: int, title: str, detail: str) -> str:
    return f"{detail}\n"


HTML = Form("text/html; charset=utf-8", ("text/html",), _html)
PROBLEM = Form(
    "application/problem+json", ("application/problem+json", "application/json"), _problem
)
TEXT = Form("text/plain; charset=utf-8", ("text/plain",), _text)

_FORMS = (HTML, PROBLEM, TEXT)
"""The forms of the default page. If a client prefers several equally, it gets the first."""


def is_twisteds(request: Any, failure: Failure) -> bool:
    """Whether Twisted can answer the failure of a handler as well as this module."""
    return not (isinstance(failure.value, Unavailable) or has_begun(request))


def answer_failure(scope: RequestScope, request: Any, handler: object, failure: Failure) -> None:
    """Answer an open request whose handler has failed: as Twisted does, or with 503.

    Raises:
        BaseException: a request of the user's own class raised it.
    """
    if not isinstance(failure.value, Unavailable):
        request.processingFailed(failure)
        return
    log_failure_in(scope.context, handler, failure)
    answer_in_place(scope, request, failure.value.cause, UNREACHABLE)


def answer_in_place(scope: RequestScope, request: Any, cause: Cause, detail: str = STOPPED) -> None:
    """Answer an open request instead of its handler, which may still try to finish it.

    Raises:
        BaseException: a request of the user's own class raised it.
    """
    try:
        page = page_for(scope, request, cause, detail, HTML)
        if page is not None:
            send(request, page)
    finally:
        if fate_of(request) is Fate.FINISHED:
            guard_answered(request)


def page_for(
    scope: RequestScope, request: Any, cause: Cause, detail: str, otherwise: Form
) -> bytes | None:
    """Set the status and the headers of the answer to an open request, and make its body.

    Args:
        scope: the scope of the request.
        request: an open request, whose response has not begun.
        cause: why the request is answered.
        detail: the sentence on the default page.
        otherwise: the form of the default page for clients that ask for none in particular.

    Returns:
        The body. None if nothing is left to send: ``error_page`` has sent the answer, ended the
        request in another way, or failed after writing a part, so that it was broken off.

    Raises:
        BaseException: a request of the user's own class raised it.
    """
    error_page: ErrorPage | None = scope.options.error_page
    if error_page is not None and not isinstance(cause, RapidReset):
        _prepare(scope, request, cause, HTML.content_type)
        page = page_of_site(scope, error_page, request, cause)
        if fate_of(request) is not Fate.OPEN or (page is None and has_begun(request)):
            return None
        if page is not None:
            return _unless_without_body(request, page)
    names = [each.names for each in _FORMS]
    form = _FORMS[preferred(_accept(request), names, _FORMS.index(otherwise))]
    _prepare(scope, request, cause, form.content_type)
    request.responseHeaders.addRawHeader(b"vary", b"Accept")
    status = scope.options.status_of(cause)
    return form.make(status, phrase_of(status), detail).encode()


def phrase_of(status: int) -> str:
    """The reason phrase of a status code."""
    # Twisted knows fewer status codes than the standard library.
    if status in RESPONSES:
        return RESPONSES[status].decode("ascii")
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Stopped"


def _accept(request: Any) -> Sequence[bytes]:
    values: Sequence[bytes] = request.requestHeaders.getRawHeaders(b"accept", [])
    return values


def _prepare(scope: RequestScope, request: Any, cause: Cause, content_type: str) -> None:
    for name in _OF_THE_PAGE:
        request.responseHeaders.removeHeader(name)
    if not has_encoder(request):
        request.responseHeaders.removeHeader(b"content-encoding")
    request.etag = request.lastModified = None
    status = scope.options.status_of(cause)
    request.setResponseCode(status, phrase_of(status).encode())
    request.setHeader(b"content-type", content_type.encode())
    request.setHeader(b"cache-control", b"no-store")
    for header, value in _headers_of(scope, cause).items():
        if header.lower() == "connection":
            make_last(request)
        else:
            request.setHeader(header.encode(), value.encode())


def _unless_without_body(request: Any, page: bytes) -> bytes | None:
    """The page; None after sending only the head, if the site has set a status without a body."""
    if request.code not in NO_BODY_CODES:
        return page
    # A page is sent with a Content-Length, which a 204 must not have (RFC 9110, section 8.6).
    request.responseHeaders.removeHeader(b"content-type")
    request.finish()
    return None


def _headers_of(scope: RequestScope, cause: Cause) -> Mapping[str, str]:
    try:
        headers = cause.headers
        check_headers(f"{type(cause).__name__}.headers", headers)
    except BaseException:
        # A property may raise, and a field may hold anything. The client is answered anyway.
        text = "the headers of {cause} are wrong and were left out"
        log_in(scope.context, log.failure, text, cause=safe_repr(cause))
        return {}
    return headers
