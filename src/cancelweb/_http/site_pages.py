"""Call the site's ``error_page``, and handle its failures.

`error_pages` decides which page is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request

from .._kinds.places import described, place_of
from .._log import log, name_of
from .._scopes.context import in_copy
from .._scopes.states import Fate
from .._scopes.telling import log_in
from .._typed import AnyResource
from ..causes import Cause
from .breaking_off import break_off
from .dead_requests import drop_producer
from .request_facts import fate_of, has_begun
from .request_scope import RequestScope

ErrorPage = Callable[[Request, Cause], bytes | AnyResource | None]
"""Makes the answer to a request, given its cause; for None, the default page is sent."""


def page_of_site(
    scope: RequestScope, error_page: ErrorPage, request: Any, cause: Cause
) -> bytes | None:
    """The page that the site makes for an open request.

    An exception in ``error_page`` is logged. If it has written part of a page, that is broken off.

    Returns:
        The body. None if ``error_page`` has failed, wants the default page, or has written to the
        request itself.
    """
    page = None
    try:
        # ``error_page`` sees the context variables of the handler.
        page = in_copy(scope, _rendered, error_page, request, cause)
    except BaseException:
        _page_failed(scope, error_page, request)
    if fate_of(request) is Fate.OPEN:
        # Twisted cannot finish the request while it has a producer.
        drop_producer(request, scope.context)
    return page


def _page_failed(scope: RequestScope, error_page: ErrorPage, request: Any) -> None:
    if has_begun(request):
        scope.life.record.fail(Failure())
    if fate_of(request) is not Fate.OPEN:
        text = "{error_page} failed"
    elif has_begun(request):
        text = "{error_page} failed after a part of its page, so the response is broken off"
    else:
        text = "{error_page} failed, so the default page is sent"
    log_in(scope.context, log.failure, text, error_page=name_of(error_page))
    if has_begun(request) and fate_of(request) is Fate.OPEN:
        # Otherwise half a page would end as if it were whole.
        break_off(scope, request)


def _rendered(error_page: ErrorPage, request: Any, cause: Cause) -> bytes | None:
    page: object = error_page(request, cause)
    if page is None and not has_begun(request):
        return None
    if IResource.providedBy(page):
        page = page.render(request)
    if isinstance(page, bytes):
        return page
    if fate_of(request) is not Fate.OPEN:
        # The page has finished the request itself, as Twisted's own error pages do.
        return None
    what = "NOT_DONE_YET" if page is NOT_DONE_YET else described(page)
    raise TypeError(
        f"{place_of(error_page)} returned {what}. An error_page returns bytes, a resource that "
        "renders at once, or None for the default page."
    )
