"""The answer to a request that is cancelled or turned away: the site's own page, or the default.

What becomes of the bytes is for `answering` and `turned_away`. Of a cause of the user's own the
default has only the status and the headers: its text may be meant for the log alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from http import HTTPStatus
from typing import Any

from attrs import frozen
from twisted.python.reflect import safe_repr
from twisted.web.http import RESPONSES
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET

from .._headers import check_headers
from .._log import log, name_of
from .._scopes.context import in_copy
from .._scopes.states import Fate
from .._twisted.access import has_encoder
from ..causes import Cause, RapidReset
from .negotiation import preferred
from .pages import make_last
from .request_facts import fate_of, has_begun
from .request_scope import RequestScope

ErrorPage = Callable[[Any, Cause], bytes | IResource | None]
"""Makes the answer to a request for a cause; with None, the default is sent."""

STOPPED = "The request was stopped before it was done."

_OF_THE_PAGE = (
    b"content-length",
    b"content-range",
    b"content-disposition",
    b"accept-ranges",
    b"location",
    b"expires",
)
"""Headers in which the handler tells of its own page. They are not true of an error page."""


@frozen
class Form:
    """One form of the default page.

    Attributes:
        content_type: what the answer says of it.
        names: what clients call it.
        make: makes it of a status, its phrase, and a sentence.
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
    """RFC 9457."""
    members = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return json.dumps(members)


def _text(status: int, title: str, detail: str) -> str:
    return f"{detail}\n"


HTML = Form("text/html; charset=utf-8", ("text/html",), _html)
PROBLEM = Form(
    "application/problem+json", ("application/problem+json", "application/json"), _problem
)
TEXT = Form("text/plain; charset=utf-8", ("text/plain",), _text)


def page_for(
    scope: RequestScope, request: Any, cause: Cause, detail: str, forms: Sequence[Form]
) -> bytes | None:
    """Set the status and the headers of the answer to an open request, and make its body.

    Args:
        scope: that of the request; it may have closed.
        request: nothing of a response has been written.
        cause: why it is answered.
        detail: what the default says.
        forms: those of the default, the first for clients that do not ask for any.

    Returns:
        The body; None if what makes the page has sent it, or has ended the request otherwise.

    Raises:
        BaseException: what makes the page has failed, and has written a part of it.
    """
    error_page: ErrorPage | None = scope.options.error_page
    if error_page is not None and not isinstance(cause, RapidReset):
        _prepare(scope, request, cause, HTML.content_type)
        page = _page_of_site(scope, error_page, request, cause)
        if fate_of(request) is not Fate.OPEN:
            return None
        if page is not None:
            return page
    form = forms[preferred(_accept(request), [each.names for each in forms])]
    _prepare(scope, request, cause, form.content_type)
    request.responseHeaders.addRawHeader(b"vary", b"Accept")
    status = scope.options.status_of(cause)
    return form.make(status, phrase_of(status), detail).encode()


def phrase_of(status: int) -> str:
    """What a status code is called; Twisted knows fewer of them than the standard library."""
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
    request.setResponseCode(scope.options.status_of(cause))
    request.setHeader(b"content-type", content_type.encode())
    request.setHeader(b"cache-control", b"no-store")
    for header, value in _headers_of(cause).items():
        if header.lower() == "connection":
            make_last(request)
        else:
            request.setHeader(header.encode(), value.encode())


def _headers_of(cause: Cause) -> Mapping[str, str]:
    try:
        headers = cause.headers
        check_headers(f"{type(cause).__name__}.headers", headers)
    except BaseException:
        # A property may fail, or a field hold anything. The client is answered all the same.
        log.failure("the headers of {cause} are left out", cause=safe_repr(cause))
        return {}
    return headers


def _page_of_site(
    scope: RequestScope, error_page: ErrorPage, request: Any, cause: Cause
) -> bytes | None:
    try:
        # In the context of the handler, so that its variables are seen.
        return in_copy(scope, _rendered, error_page, request, cause)
    except BaseException:
        if has_begun(request):
            raise
        log.failure(
            "{error_page} failed, so the default page is sent", error_page=name_of(error_page)
        )
        return None


def _rendered(error_page: ErrorPage, request: Any, cause: Cause) -> bytes | None:
    page: object = error_page(request, cause)
    if page is None:
        return None
    if IResource.providedBy(page):
        page = page.render(request)
    if isinstance(page, bytes):
        return page
    if fate_of(request) is not Fate.OPEN:
        # Twisted's own pages write themselves.
        return None
    kind = type(page)
    what = f"{safe_repr(page)}, a {kind.__module__}.{kind.__qualname__}"
    raise TypeError(
        f"{name_of(error_page)} came to {'NOT_DONE_YET' if page is NOT_DONE_YET else what}: an "
        "error_page must return bytes, a resource that renders at once, or None for the default"
    )
