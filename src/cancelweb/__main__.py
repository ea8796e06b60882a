"""The command line of ``python -m cancelweb``; the demonstration itself is in `demo`."""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    # Twisted would take an interrupt for a success, and an import may lose it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import react
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)

from .demo import DOCS, say, tour
from .demo.site import LOOPBACK, Demonstration
from .monitor import Monitor

PORT = 8080
EXIT_AFTER = 3.0
"""Seconds that uncancelled work has after SIGTERM. Ctrl-C leaves it none."""


async def serve(reactor: Any, port: int) -> None:
    """Serve the page until the process is interrupted.

    Raises:
        SystemExit: with status 1, if the port is taken.
    """
    demonstration = Demonstration.start(reactor)
    reactor.addSystemEventTrigger("before", "shutdown", stop, demonstration.monitor)
    try:
        number = await demonstration.listen(port)
    except CannotListenError as error:
        raise SystemExit(
            f"Cannot listen on port {port}: {error.socketError}. Choose another with --port."
        ) from None
    say(f"Open http://{LOOPBACK}:{number}/ in a browser. Press Ctrl-C to stop.")
    await Deferred()


def stop(monitor: Monitor) -> Deferred[None]:
    """Cancel what is in flight, and end the process even if uncancelled queries still run."""
    observer = textFileLogObserver(sys.stderr)
    warnings = FilteringLogObserver(observer, [LogLevelFilterPredicate(LogLevel.warn)])
    globalLogBeginner.beginLoggingTo([warnings], redirectStandardIO=False)
    return monitor.drain(0, exit_after=EXIT_AFTER)


async def visit(reactor: Any) -> None:
    """Give the tour, which a signal ends at once."""
    # The reactor's own handler, which it sets when it starts, would end the tour with status 0.
    reactor.callWhenRunning(signal.signal, signal.SIGTERM, signal.SIG_DFL)
    await tour.give(reactor)


def parse(arguments: list[str]) -> Namespace:
    """Read the command line.

    Raises:
        SystemExit: with status 0 after the help, with status 2 after a wrong argument.
    """
    parser = ArgumentParser(
        prog="python -m cancelweb",
        formatter_class=RawDescriptionHelpFormatter,
        description="Show what happens to slow work when clients leave a Twisted Web server:\n"
        "with cancelweb the work stops, without cancelweb it runs on.\n\n"
        "Without options, visit a server on loopback, print a table, and exit.\n"
        "The exit status is 0 if all work stopped with cancelweb, and 1 if not.",
        epilog=f"Documentation: {DOCS}",
    )
    parser.add_argument(
        "--serve", action="store_true", help="serve a page instead, to try it in a browser"
    )
    parser.add_argument(
        "--port",
        type=int,
        help=f"with --serve: the port on {LOOPBACK}; default {PORT}, 0 for any free port",
    )
    options = parser.parse_args(arguments)
    if options.port is None:
        options.port = PORT
    elif not options.serve:
        parser.error("argument --port: needs --serve")
    if not 0 <= options.port <= 65535:
        parser.error(f"argument --port: must be from 0 to 65535, not {options.port}")
    return options


if __name__ == "__main__":
    options = parse(sys.argv[1:])
    if options.serve:
        react(serve, [options.port])
    else:
        react(visit)
