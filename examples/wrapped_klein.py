"""A wrapped Klein application: each of its requests has a scope and a time limit.

Run it::

    PYTHONPATH=examples twist web --class=wrapped_klein.root

`curl http://localhost:8080/3` gets its answer after three seconds. If the client leaves before,
Klein cancels what the view awaits, and cancelweb stops the other work of the view.
"""

from klein import Klein
from twisted.internet import reactor
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.web.iweb import IRequest

from cancelweb import CancellingResource, current_scope

log = Logger()
app = Klein()


@app.route("/<int:seconds>")
async def wait(request: IRequest, seconds: int) -> bytes:
    """Report the progress of slow work."""
    progress = LoopingCall(log.info, "still at it")
    progress.start(0.5)
    # A cancelled coroutine leaves a LoopingCall running. A tracked one stops with its request.
    current_scope().track(progress)
    current_scope().on_cancel(lambda scope: log.info("given up: {cause}", cause=scope.cause))
    await deferLater(reactor, seconds)
    return b"done\n"


def root() -> CancellingResource:
    """Wrap the application. Its views stay as they are."""
    return CancellingResource(app.resource(), timeout=30)
