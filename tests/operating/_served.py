"""What the tests of `twist cancelweb` serve: named on its command line, run in its process.

Each page tells the log how far it is.
"""

import os
from collections.abc import Callable, Iterable
from signal import SIGINT
from time import monotonic, sleep
from typing import Any, cast
from weakref import ref

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.resource import NoResource, Resource
from twisted.web.server import Request

from cancelweb import Outcome, Scope, detach
from cancelweb.threads import defer_to_thread

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

tell = Logger(namespace="served").info


class Pages(Resource):
    """The root resource, whose children are the pages."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Find the page of this name."""
        return PAGES.get(path, NoResource)()


class Quick(Resource):
    """A page that answers at once."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """Answer at once."""
        return b"quick"


class Waiting(Resource):
    """A page that never answers."""

    isLeaf = True

    async def render(self, request: Request) -> bytes:
        """Wait forever, and log the begin and the end of the wait."""
        tell("at {uri}", uri=request.uri.decode())
        try:
            return await Deferred[bytes]()
        finally:
            tell("no longer waiting")


class Soon(Resource):
    """A page that sends `/soon/2/300`, for example, as 300 bytes after 2 seconds."""

    isLeaf = True

    async def render(self, request: Request) -> bytes:
        """Wait for the seconds in the path, and send the bytes."""
        seconds, count = cast(list[bytes], request.postpath)
        tell("at {uri}", uri=request.uri.decode())
        await deferLater(reactor, float(seconds))
        return b"." * int(count)


class Detaching(Resource):
    """A page that answers at once, and has detached work for half a second."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """Detach work, and answer."""
        detach(deferLater(reactor, 0.5, tell, "the detached work is done"))
        return b"detached"


class Sleeping(Resource):
    """A page that a thread makes for a minute, and cannot be told to stop."""

    isLeaf = True

    def render_GET(self, request: Request) -> Any:
        """Have a thread sleep."""
        return defer_to_thread(_nap, request.uri.decode())


def _nap(uri: str) -> None:
    # Until the thread is here, a cancel keeps it from being called at all.
    tell("at {uri}", uri=uri)
    sleep(60)


class Blocking(Resource):
    """A page whose handler blocks the reactor."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """Compute for a minute."""
        tell("at {uri}", uri=request.uri.decode())
        end = monotonic() + 60
        while monotonic() < end:
            pass
        return b"done"


PAGES: dict[bytes, Callable[[], Resource]] = {
    b"quick": Quick,
    b"waiting": Waiting,
    b"soon": Soon,
    b"detaching": Detaching,
    b"sleeping": Sleeping,
    b"blocking": Blocking,
}


def interrupted() -> Resource:
    """The pages; but a SIGINT comes first, at a place where Python ignores exceptions."""
    pages = Pages()
    _ = ref(pages, lambda _: os.kill(os.getpid(), SIGINT))
    del pages
    return Pages()


async def hook(scope: Scope) -> None:
    """A cleanup hook that takes 0.3 s, and logs the cause."""
    await deferLater(reactor, 0.3)
    tell("the hook has run: {cause}", cause=scope.cause)


def observer(outcome: Outcome) -> None:
    """An observer that logs the path and the end of each outcome."""
    tell("observed: {path} {ended}", path=outcome.path, ended=outcome.ended.name)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A WSGI application that sends a page after a second."""
    tell("at {path}", path=environ["PATH_INFO"])
    sleep(1)
    start_response("200 OK", [])
    return [b"from a thread"]


def stuck(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A WSGI application that cannot be stopped."""
    tell("at {path}", path=environ["PATH_INFO"])
    sleep(60)
    raise AssertionError("should have been killed")
