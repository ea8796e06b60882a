"""A Flask application in Twisted's threads that stops when its client leaves.

Run it::

    PYTHONPATH=examples twist web --class=flask_app.root

`curl http://localhost:8080/3` gets its answer after three seconds. Interrupt it: the log says
that the thread has stopped.
"""

import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from flask import Flask
from twisted.internet import reactor
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from twisted.web.wsgi import WSGIResource

from cancelweb import CancellingResource, ScopeCancelled, current_scope

log, app = Logger(), Flask(__name__)


class ContextPool(ThreadPool):
    """Threads that see the context variables of the code that has called them."""

    def callInThreadWithCallback(
        self, onResult: Any, func: Callable[..., object], *args: Any, **kw: Any
    ) -> None:
        """Call the function in a copy of the caller's context."""
        run = copy_context().run
        super().callInThreadWithCallback(onResult, run, func, *args, **kw)


@app.get("/<int:seconds>")
def work(seconds: int) -> str:
    """Work step by step, and stop if the client has left."""
    for _ in range(10 * seconds):
        current_scope().check()
        time.sleep(0.1)
    return "done\n"


@app.errorhandler(ScopeCancelled)
def stopped(error: ScopeCancelled) -> tuple[str, int]:
    """Return an empty answer: the client has left. Without this, Flask would log an error."""
    log.info("the thread has stopped: {cause}", cause=error.cause)
    return "", 503


def root() -> CancellingResource:
    """Wrap the application."""
    pool = ContextPool()
    pool.start()
    reactor.addSystemEventTrigger("after", "shutdown", pool.stop)
    return CancellingResource(WSGIResource(reactor, pool, app))
