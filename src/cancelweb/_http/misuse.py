"""Error messages of the entry points for what they cannot decorate or wrap.

Mistakes that show when a handler runs are in `mistakes`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from os import PathLike
from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.web.resource import IResource

from .._checks import shown
from .._kinds.places import place_of, short_name_of

_DECORATES = "cancel_on_disconnect decorates functions that take a request"

_A_SITE = (
    "a Site or another protocol factory. Wrap the Site's resource: Site(CancellingResource(root))."
)


def _is_site(given: object) -> bool:
    """Whether this listens for connections: a Site, its class, or what is put around a Site."""
    # A Site has a method `render`, too.
    is_made = IProtocolFactory.providedBy(given)
    return is_made or (isinstance(given, type) and IProtocolFactory.implementedBy(given))


def check_handler(handler: Any) -> None:
    """Raise a TypeError unless this can be decorated; it says what to decorate instead."""
    if isinstance(handler, staticmethod | classmethod):
        raise TypeError(
            f"{place_of(handler.__func__)}: the decorators are in the wrong order. Put "
            f"@{type(handler).__name__} above @cancel_on_disconnect."
        )
    if _is_site(handler):
        raise TypeError(f"{_DECORATES}, not {_A_SITE}")
    if isinstance(handler, type):
        name = short_name_of(handler)
        raise TypeError(
            f"{_DECORATES}, and {name} is a class. Decorate its render methods, or wrap an "
            f"instance: CancellingResource({name}())."
        )
    if not callable(handler):
        raise TypeError(f"{_DECORATES}, not {shown(handler)}. {_instead_of_handler(handler)}")
    if getattr(handler, "__name__", None) in ("getChild", "getChildWithDefault"):
        raise TypeError(
            f"{place_of(handler)} returns a resource and not a response, so cancel_on_disconnect "
            "cannot decorate it. Decorate the render methods of that resource."
        )


def _instead_of_handler(given: object) -> str:
    if IResource.providedBy(given):
        return "Wrap a resource: CancellingResource(resource)."
    if isinstance(given, Awaitable):
        return "Pass the function itself, without calling it."
    return "Give options by name, as in cancel_on_disconnect(timeout=30)."


def without_request(handler: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TypeError:
    """Make the error for a call of a decorated handler without a request."""
    if any(hasattr(each, "notifyFinish") for each in kwargs.values()):
        advice = "Pass the request by position, not by name."
    else:
        advice = (
            "The request is the first positional argument that has a notifyFinish. Decorate only "
            "functions that take the request."
        )
    given = ", ".join(map(shown, args))
    return TypeError(
        f"{place_of(handler)} was called without a request; its positional arguments were "
        f"({given}). {advice}"
    )


def check_resource(resource: Any) -> None:
    """Raise a TypeError unless this can be wrapped; it says what to wrap instead."""
    if isinstance(resource, type) or _is_site(resource) or not hasattr(resource, "render"):
        instead = _instead_of_resource(resource)
        raise TypeError(f"CancellingResource wraps a resource, not {instead}")


def _instead_of_resource(given: object) -> str:
    if _is_site(given):
        return _A_SITE
    if isinstance(given, type):
        name = short_name_of(given)
        return f"the class {name}. Wrap an instance: CancellingResource({name}())."
    if callable(getattr(given, "resource", None)):
        return f"{shown(given)}. Wrap the resource of the app: CancellingResource(app.resource())."
    if isinstance(given, str | bytes | PathLike):
        return f"{shown(given)}. To serve files, wrap twisted.web.static.File(path)."
    if inspect.isroutine(given):
        return (
            f"the function {short_name_of(given)}. If it handles requests, decorate it with "
            "@cancel_on_disconnect. If it makes a resource, call it. If it is a WSGI application, "
            "wrap WSGIResource(reactor, reactor.getThreadPool(), application)."
        )
    if callable(given):
        return (
            f"{shown(given)}. If it is a WSGI application, wrap "
            "WSGIResource(reactor, reactor.getThreadPool(), application)."
        )
    return f"{shown(given)}, which has no render method"
