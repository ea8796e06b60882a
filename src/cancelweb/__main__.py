"""``python -m cancelweb``: the demonstration. The command line only; the rest is in `demo`."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from .demo import clients, report
from .demo.serve import serve


async def main(reactor: Any) -> None:
    """Run the demonstration and print what came of it.

    Raises:
        SystemExit: with status 1, if it did not go as it should.
    """
    print(report.introduction(), flush=True)
    courses = [Deferred.fromCoroutine(clients.run(reactor, way)) for way in ("with", "without")]
    cancelling, plain = await gatherResults(courses)
    print(f"\n{report.table(cancelling, plain)}\n")
    problems = report.problems(cancelling, plain)
    if problems:
        raise SystemExit("\n".join(["This did not go as it should:", *problems]))
    print(report.conclusion(cancelling, plain))


def parse(arguments: list[str]) -> Namespace:
    """Read the command line.

    Raises:
        SystemExit: with status 0 after the help, with status 2 after a wrong argument.
    """
    parser = ArgumentParser(
        prog="python -m cancelweb",
        description="Demonstrate cancelweb: abandon work of several kinds on a real server on "
        "loopback, with cancelweb and without, and show what became of it.",
        epilog="Exit status: 0 if all abandoned work was stopped, 1 if not.",
    )
    parser.add_argument(
        "--serve", action="store_true", help="serve a page instead, to do it by hand in a browser"
    )
    parser.add_argument(
        "--port", type=int, default=8080, help="where to serve it; 8080 unless given, 0 for any"
    )
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= 65535:
        parser.error(f"argument --port: must be from 0 to 65535, not {options.port}")
    return options


if __name__ == "__main__":
    options = parse(sys.argv[1:])
    # Twisted would take an interrupt for a success.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if options.serve:
        react(serve, [options.port])
    else:
        react(main)
