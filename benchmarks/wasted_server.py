"""The server of `wasted_work`: one kind of work, for clients that leave, stopped in one way.

What belongs here: the handlers around the work. What does not: the work, clients, and counting from
outside.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from wasted_kinds import KINDS, Setting, Work, finish, running, unready

from cancelweb import cancel_on_disconnect

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor
log = Logger()

WAYS = ("cancelweb", "by hand", "plain")
"""With cancelweb; with `Deferred.cancel` on `notifyFinish`; with nothing."""


def handler(way: str, work: Work) -> Work:
    """The render method."""
    if way == "cancelweb":
        decorate: Any = cancel_on_disconnect(observers=())

        render: Work = decorate(work)
        return render
    return partial(by_hand, work, way == "by hand")


def by_hand(work: Work, cancels: bool, request: Request) -> int:
    """The recipe for one Deferred; without the cancel, what most handlers do."""
    working: Deferred[Any] = work(request)
    is_gone = False

    def left(_: Failure) -> None:
        nonlocal is_gone
        is_gone = True
        if cancels:
            working.cancel()

    def ended(result: Any) -> None:
        if not is_gone:
            finish(request)

    def failed(failure: Failure) -> None:
        # The cancellation comes in many a disguise.
        if not is_gone:
            log.failure("the work failed", failure)

    request.notifyFinish().addErrback(left)
    working.addCallbacks(ended, failed)
    return NOT_DONE_YET


class Answer(Resource):
    """Answers with what a function returns."""

    isLeaf = True

    def __init__(self, render: Callable[[Request], Any]) -> None:
        super().__init__()
        self.render_GET = render


def main(arguments: Sequence[str]) -> None:
    """Serve /work, and at /running what runs in the reactor's thread; print the port."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("seconds", type=float)
    parser.add_argument("clients", type=int)
    for name in "directory", "dsn", "upstream":
        parser.add_argument(name)
    options = vars(parser.parse_args(arguments))
    kind, way = options.pop("kind"), options.pop("way")
    root = Resource()
    work = KINDS[kind](Setting(ours=way == "cancelweb", **options))
    root.putChild(b"work", Answer(handler(way, work)))
    root.putChild(b"running", Answer(lambda request: json.dumps(running()).encode()))
    reactor.callWhenRunning(listen, Site(root))
    reactor.run()


def listen(site: Site) -> None:
    """Listen as soon as it may be, and print the port."""

    def ready(_: object) -> None:
        port = reactor.listenTCP(0, site, backlog=1000, interface="127.0.0.1")
        print(port.getHost().port, flush=True)

    gatherResults(unready).addCallback(ready).addErrback(lambda failure: log.failure("", failure))


if __name__ == "__main__":
    main(sys.argv[1:])
