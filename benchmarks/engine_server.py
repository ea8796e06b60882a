"""The web server of `wasted_work` for jobs that run in other processes.

It has the handlers of `wasted_server` and answers as that does. What does not belong here: the
jobs, the engines and the clients.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from engine_jobs import ADDRESS
from engine_kinds import KINDS, Setting
from twisted.internet import reactor as _installed_reactor
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from wasted_server import WAYS, Answer, handler

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

LISTENING = "listening on port"


def main(arguments: Sequence[str]) -> None:
    """Serve /work, and at /asked how often that was asked for; print the port."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("seconds", type=float)
    parser.add_argument("clients", type=int)
    parser.add_argument("slots", type=int)
    parser.add_argument("directory")
    options = vars(parser.parse_args(arguments))
    kind, way = options.pop("kind"), options.pop("way")
    setting = Setting(ours=way == "cancelweb", address=os.environ[ADDRESS], **options)
    reactor.suggestThreadPoolSize(setting.clients)
    work = handler(way, KINDS[kind].work(setting))
    asked = 0

    def counted(request: Request) -> Any:
        nonlocal asked
        asked += 1
        return work(request)

    root = Resource()
    root.putChild(b"work", Answer(counted))
    root.putChild(b"asked", Answer(lambda request: b"%d" % asked))
    port = reactor.listenTCP(0, Site(root), backlog=1000, interface="127.0.0.1")
    print(f"{LISTENING} {port.getHost().port}", flush=True)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
