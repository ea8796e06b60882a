"""``python -m cancelweb``: the demonstration. The command line only; the rest is in `demo`."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from .demo import clients, report


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


def parse(arguments: list[str]) -> None:
    """Read the command line, which has no options yet but ``--help``.

    Raises:
        SystemExit: with status 0 after the help, with status 2 after a wrong argument.
    """
    parser = ArgumentParser(
        prog="python -m cancelweb",
        description="Demonstrate cancelweb: abandon work of several kinds on a real server on "
        "loopback, with cancelweb and without, and show what became of it.",
        epilog="Exit status: 0 if all abandoned work was stopped, 1 if not.",
    )
    parser.parse_args(arguments)


if __name__ == "__main__":
    parse(sys.argv[1:])
    # Twisted would take an interrupt for a success.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    react(main)
