"""``twist cancelweb``: whatever ``twist web`` serves, with cancellation around it.

The command line and what is made of it; what is served is Twisted's business, and how the server
starts and stops is that of `_server`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from math import inf
from typing import Any

from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.application.strports import service as listening
from twisted.internet.endpoints import serverFromString
from twisted.python.reflect import namedAny
from twisted.python.usage import UsageError
from twisted.web import tap
from twisted.web.server import Site

from .._http.entry_points import CancellingResource
from .._kinds.cancellers import global_reactor
from .._scopes.options import checked_options
from ..connections import check_silence, notice_vanished
from ..monitor import Monitor
from ..observers import access_log_499, log_outcome
from ..status import StatusResource
from .service import DrainingService

DRAIN = 5.0
"""Seconds; leaves as many for the cleanup before ``docker stop``, for one, loses its patience."""

CLEAR = (AttributeError, ImportError, OSError, TypeError, ValueError)
"""Exceptions whose text can stand alone."""

LOOPBACK = {"tcp": "127.0.0.1", "ssl": "127.0.0.1", "tcp6": r"\:\:1"}


@contextmanager
def _checking(option: str, given: str) -> Iterator[None]:
    """Have a wrong value told of in one line that names its option."""
    try:
        yield
    except Exception as error:
        # Of a KeyError, say, the text alone says nothing.
        reason = str(error) if isinstance(error, CLEAR) else repr(error)
        raise UsageError(f"--{option.replace('_', '-')} {given}: {reason}") from error


def _checked(option: str, check: Callable[[str], object]) -> Any:
    """One of Twisted's own options, which checks what it is given first."""
    original = getattr(tap.Options, f"opt_{option}")

    @wraps(original)
    def opt(self: Options, given: str) -> None:
        with _checking(option, given):
            check(given)
        original(self, given)

    return opt


def _callable(name: str) -> Any:
    found = namedAny(name)
    if not callable(found):
        raise TypeError(f"{found!r} cannot be called")
    return found


def _processor(given: str) -> None:
    extension, equals, name = given.partition("=")
    if not (extension and equals):
        raise ValueError("must be an extension and a class, such as .rpy=package.Processor")
    _callable(name)


def _header(given: str) -> None:
    if ":" not in given:
        raise ValueError("must be a name and a value, such as 'Server: mine'")


def _number(kind: type[float], given: str) -> float:
    try:
        return kind(given)
    except ValueError:
        raise ValueError(f"must be a {'whole ' * (kind is int)}number of seconds") from None


def _on_loopback(description: str) -> str:
    """The endpoint, which others than this machine cannot reach unless it says so."""
    if description.isdecimal():
        description = f"tcp:{description}"
    kind = description.partition(":")[0]
    if kind in LOOPBACK and ":interface=" not in description:
        return f"{description}:interface={LOOPBACK[kind]}"
    return description


LOOK_EVERY = 10.0
"""Seconds from one look for connections that nobody reads to the next."""


class Options(tap.Options):
    """The command line: all that ``twist web`` takes, and cancelweb's own.

    A wrong one ends the program, with one line on standard error and exit status 1.
    """

    synopsis = "[cancelweb options]"
    longdesc = (
        "This starts a web server that stops the work of clients who leave. It takes all that "
        "the web plugin takes."
    )
    optFlags = [  # noqa: RUF012 - Twisted's
        ["dry-run", "", "Cancel nothing; log what would have been cancelled."],
        ["access-log-499", "", "Have the access log tell of clients who left, with status 499."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["timeout"] = self["methods"] = self["keepalive"] = self["status"] = None
        self["drain"] = DRAIN
        self["on-cancel"], self["observers"] = [], [log_outcome]

    opt_path = _checked("path", os.stat)
    opt_resource_script = _checked("resource_script", os.stat)
    opt_wsgi = _checked("wsgi", _callable)
    opt_processor = _checked("processor", _processor)
    opt_add_header = _checked("add_header", _header)

    def opt_class(self, name: str) -> None:
        """Dotted name of what to call, without arguments, for the resource to serve."""
        with _checking("class", name):
            signature(_callable(name)).bind()
        super().opt_class(name)
        with _checking("class", name):
            CancellingResource(self["root"])

    def opt_timeout(self, seconds: str) -> None:
        """Seconds after which a request is cancelled and answered 503."""
        with _checking("timeout", seconds):
            self["timeout"] = _number(float, seconds)
            checked_options(timeout=self["timeout"])

    def opt_methods(self, names: str) -> None:
        """The methods that may be cancelled, with commas between.

        [default: GET,HEAD,OPTIONS]
        """
        with _checking("methods", names):
            self["methods"] = names.split(",")
            checked_options(methods=self["methods"])

    def opt_keepalive(self, seconds: str) -> None:
        """Seconds after which a client that has vanished without closing counts as gone."""
        with _checking("keepalive", seconds):
            self["keepalive"] = _number(int, seconds)
            check_silence(self["keepalive"])

    def opt_drain(self, seconds: str) -> None:
        """Seconds that requests in flight have to finish when the server is stopped.

        [default: 5]
        """
        with _checking("drain", seconds):
            self["drain"] = _number(float, seconds)
            if not 0 <= self["drain"] < inf:
                raise ValueError("must be 0 or more, and finite")

    def opt_status(self, endpoint: str) -> None:
        """Where to serve the status page: a port, or an endpoint as for --listen.

        On loopback, unless the endpoint names an interface.
        """
        self["status"] = _on_loopback(endpoint)

    def opt_on_cancel(self, name: str) -> None:
        """Dotted name of a hook to run for each request that is cancelled. May be repeated."""
        with _checking("on-cancel", name):
            self["on-cancel"].append(namedAny(name))
            checked_options(on_cancel=self["on-cancel"])

    def opt_observer(self, name: str) -> None:
        """Dotted name of an observer to tell of each request, beside the log. May be repeated."""
        with _checking("observer", name):
            self["observers"].append(namedAny(name))
            checked_options(observers=self["observers"])

    def parseOptions(self, options: Any = None) -> None:
        """See `twisted.python.usage.Options`.

        Raises:
            SystemExit: with status 1: an option is wrong.
        """
        # Of a UsageError, twist and twistd print all options there are, and end with a status of
        # their own.
        try:
            super().parseOptions(options)
        except UsageError as error:
            raise SystemExit(f"cancelweb: {error}") from error

    def postOptions(self) -> None:
        """Check what only the whole command line tells."""
        super().postOptions()
        for each in self["ports"]:
            with _checking("listen", each):
                serverFromString(global_reactor(), each)
        if self["status"] is not None:
            with _checking("status", self["status"]):
                serverFromString(global_reactor(), self["status"])

    def wrapped(self, resource: Any, monitor: Monitor) -> CancellingResource:
        """The resource with cancellation around it, as the options say."""
        return CancellingResource(
            resource,
            monitor=monitor,
            timeout=self["timeout"],
            methods=self["methods"],
            dry_run=bool(self["dry-run"]),
            on_cancel=self["on-cancel"],
            on_exit=[access_log_499] if self["access-log-499"] else [],
            observers=self["observers"],
        )


def makeService(options: Options) -> MultiService:
    """Make what ``twist`` and ``twistd`` run: the server, and its status page if it is to have one.

    Args:
        options: they have been parsed.
    """
    monitor = Monitor(global_reactor())
    web = tap.makeService(options)
    factory = next(iter(web)).factory
    site = factory.root.site if options["personal"] else factory
    site.resource = options.wrapped(site.resource, monitor)
    if options["keepalive"] is not None:
        factory = notice_vanished(factory, options["keepalive"])
    for each in web:
        each.factory = factory
    server = DrainingService(web, monitor, options["drain"])
    TimerService(LOOK_EVERY, monitor.blind_spots).setServiceParent(server)
    if options["status"] is not None:
        page: Any = Site(StatusResource(monitor))
        listening(options["status"], page).setServiceParent(server)
    return server
