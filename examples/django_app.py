"""A Django application in Twisted's threads that stops when its client leaves.

Run it::

    PYTHONPATH=examples twist web --class=django_app.root

`curl http://localhost:8080/3` gets its answer after three seconds. Interrupt it: the log says
that the thread has stopped.
"""

import time
from contextvars import copy_context
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from twisted.internet import reactor
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from twisted.web.wsgi import WSGIResource

from cancelweb import CancellingResource, ScopeCancelled, current_scope

log = Logger()


class ContextPool(ThreadPool):
    """Threads that see the context variables of the code that has called them."""

    def callInThreadWithCallback(self, onResult: Any, func: Any, *args: Any, **kw: Any) -> None:
        super().callInThreadWithCallback(onResult, copy_context().run, func, *args, **kw)


def work(request: HttpRequest, seconds: int) -> HttpResponse:
    """Work step by step, and stop if the client has left."""
    try:
        for _ in range(10 * seconds):
            current_scope().check()
            time.sleep(0.1)
    except ScopeCancelled as error:
        log.info("the thread has stopped: {cause}", cause=error.cause)
        # The client has left. Without this answer, Django would mail an error to the admins.
        return HttpResponse(status=499)
    return HttpResponse("done\n")


urlpatterns = [path("<int:seconds>", work)]


def root() -> CancellingResource:
    """Wrap the application."""
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
    pool = ContextPool()
    pool.start()
    reactor.addSystemEventTrigger("after", "shutdown", pool.stop)
    return CancellingResource(WSGIResource(reactor, pool, get_wsgi_application()))
