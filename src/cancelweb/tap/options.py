"""``twist cancelweb``: serves whatever ``twist web`` serves, with cancellation around it.

The options of the command line. `values` checks their values; `making` makes the service from them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twisted.python.usage import UsageError
from twisted.web import tap

from .._http.wrapper import CancellingResource
from .._kinds.places import signature_of
from .._scopes.options import checked_options
from ..connections import check_silence
from ..monitor import Monitor
from ..observers import access_log_499, log_outcome
from ..status import StatusResource
from .handed_down import is_handed_down, take
from .loopback import endpoint_from
from .values import (
    callable_from,
    check_endpoint,
    check_header,
    check_processor,
    checked,
    checking,
    number_from,
    object_from,
    seconds_from,
    status_from,
    suggestion,
)

DRAIN, EXIT_AFTER = 5.0, 5.0
"""Seconds. Together they are the 10 s after which ``docker stop``, say, kills the server."""


class Options(tap.Options):
    """The command line: all options of ``twist web``, and cancelweb's own.

    A wrong option ends the program, with one line on standard error and exit status 1.
    """

    synopsis = "[cancelweb options]"
    longdesc = (
        "Starts a web server that stops the work for a request when its client leaves. It takes "
        "all options of the web plugin."
    )
    optFlags = [  # noqa: RUF012 - Twisted's
        ["dry-run", "", "Cancel nothing, and log what would have been cancelled."],
        ["access-log-499", "", "Log clients that left in the access log, with status 499."],
    ]

    def __init__(self) -> None:
        super().__init__()
        # Twisted would print the line breaks and indents of docstrings.
        self.docs = {name: " ".join((text or "").split()) for name, text in self.docs.items()}
        self["methods"] = self["keepalive"] = self["status"] = None
        self["error-page"] = None
        self["limits"] = {}
        self["drain-delay"], self["drain"], self["exit-after"] = 0.0, DRAIN, EXIT_AFTER
        self["on-cancel"], self["observers"] = [], [log_outcome]
        self["status-hosts"] = []

    opt_path = checked("path", os.stat)
    opt_resource_script = checked("resource_script", os.stat)
    opt_wsgi = checked("wsgi", callable_from)
    opt_processor = checked("processor", check_processor)
    opt_add_header = checked("add_header", check_header)

    def opt_class(self, name: str) -> None:
        """Dotted name of a class or function without arguments that returns the resource."""
        with checking("class", name):
            signature_of(callable_from(name)).bind()
        super().opt_class(name)
        with checking("class", name):
            CancellingResource(self["root"])

    def opt_timeout(self, seconds: str) -> None:
        """Seconds without output after which a request is cancelled. Off by default.

        The client gets a 503. If the response has begun, its connection is aborted instead, after
        at most twice as many seconds without output.
        """
        self._limit("timeout", seconds)

    def opt_total_timeout(self, seconds: str) -> None:
        """Seconds until a request is cancelled, even if it is still writing. Off by default."""
        self._limit("total_timeout", seconds)

    def opt_stall_timeout(self, seconds: str) -> None:
        """Seconds without reading after which a client's connection is aborted. Off by default."""
        self._limit("stall_timeout", seconds)

    def _limit(self, name: str, seconds: str) -> None:
        with checking(name, seconds):
            self["limits"][name] = number_from(float, seconds)
            checked_options(**self["limits"])

    def opt_timeout_header(self, name: str) -> None:
        """Request header with the seconds that the client will wait. Off by default."""
        with checking("timeout_header", name):
            self["limits"]["timeout_header"] = name
            checked_options(timeout_header=name)

    def opt_timeout_status(self, status: str) -> None:
        """HTTP status of the answer when a time limit is over, from 400 to 599.

        With 504, a proxy that repeats a 503 elsewhere does not repeat it. [default: 503]
        """
        with checking("timeout-status", status):
            self["limits"]["timeout_status"] = status_from(status)
            checked_options(**self["limits"])

    def opt_error_page(self, name: str) -> None:
        """Dotted name of a function that makes the answer to a cancelled request.

        Called with the request and the cause, it returns bytes, a resource, or None.
        """
        with checking("error-page", name):
            self["error-page"] = object_from(name)
            checked_options(error_page=self["error-page"])

    def opt_methods(self, names: str) -> None:
        """HTTP methods whose requests may be cancelled, separated by commas.

        [default: GET,HEAD,OPTIONS]
        """
        with checking("methods", names):
            self["methods"] = names.split(",")
            checked_options(methods=self["methods"])

    def opt_keepalive(self, seconds: str) -> None:
        """Seconds after which a client that vanished without closing its connection counts as gone.

        Off by default.
        """
        with checking("keepalive", seconds):
            self["keepalive"] = number_from(int, seconds)
            check_silence(self["keepalive"])

    def opt_drain(self, seconds: str) -> None:
        """Seconds that requests in flight have to finish when the server is stopped.

        [default: 5]
        """
        with checking("drain", seconds):
            self["drain"] = seconds_from(seconds)

    def opt_drain_delay(self, seconds: str) -> None:
        """Seconds between the signal to stop and the closing of the ports.

        Requests are served, and their answers say "Connection: close", while /readyz on the port of
        --status answers 503. [default: 0]
        """
        with checking("drain-delay", seconds):
            self["drain-delay"] = seconds_from(seconds)

    def opt_exit_after(self, seconds: str) -> None:
        """Seconds that cleanup, threads and all else have to end once --drain is over.

        Then the log says what still runs, and the process is ended. [default: 5]
        """
        with checking("exit-after", seconds):
            self["exit-after"] = seconds_from(seconds)

    def opt_status(self, endpoint: str) -> None:
        """Port of the status page, or an endpoint as for --listen. Off by default.

        Serves only the loopback interface, unless the endpoint names another with interface=.
        """
        self["status"] = endpoint_from(endpoint)

    def opt_status_host(self, name: str) -> None:
        """Name or address by which the status page may be opened. May be repeated.

        Allowed without it: localhost, and the address that the page is reached at.
        """
        with checking("status-host", name):
            self["status-hosts"].append(name)
            StatusResource(Monitor(), hosts=self["status-hosts"])

    def opt_on_cancel(self, name: str) -> None:
        """Dotted name of a hook. It gets the scope of each cancelled request. May be repeated."""
        with checking("on-cancel", name):
            self["on-cancel"].append(object_from(name))
            checked_options(on_cancel=self["on-cancel"])

    def opt_observer(self, name: str) -> None:
        """Dotted name of an observer. It gets the Outcome of each request. May be repeated."""
        with checking("observer", name):
            self["observers"].append(object_from(name))
            checked_options(observers=self["observers"])

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """See `twisted.python.usage.Options`.

        Raises:
            SystemExit: an option is wrong. The status is 1.
        """
        # For a UsageError, twist and twistd would print all options, and exit with a status of
        # their own.
        try:
            super().parseOptions(options)
        except UsageError as error:
            raise SystemExit(f"cancelweb: {error}{suggestion(error, self.longOpt)}") from error

    def postOptions(self) -> None:
        """Check what depends on more than one option."""
        # Twisted adds the ports of the two old options, or else the default, to those of --listen.
        options = ["listen"] * len(self["ports"])
        options += [each for each in ("port", "https") if self[each] is not None]
        super().postOptions()
        self["options-of-ports"] = options or ["listen"]
        given = [*zip(self["options-of-ports"], self["ports"], strict=True)]
        if self["status"] is not None:
            given.append(("status", self["status"]))
        taken: set[int] = set()
        for option, endpoint in given:
            with checking(option, endpoint):
                if is_handed_down(endpoint):
                    take(endpoint, taken)
                else:
                    check_endpoint(endpoint)

    def wrapped(self, resource: Any, monitor: Monitor) -> CancellingResource:
        """The resource with cancellation around it, according to the options."""
        return CancellingResource(
            resource,
            monitor=monitor,
            **self["limits"],
            error_page=self["error-page"],
            methods=self["methods"],
            dry_run=bool(self["dry-run"]),
            on_cancel=self["on-cancel"],
            on_exit=[access_log_499] if self["access-log-499"] else [],
            observers=self["observers"],
        )
