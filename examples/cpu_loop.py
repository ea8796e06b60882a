"""A long computation in a thread, which ends soon after its client has left.

Run it::

    PYTHONPATH=examples twist web --class=cpu_loop.Primes

`curl http://localhost:8080/` takes some seconds. Interrupt it: the log says how far it came.
"""

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect, current_scope
from cancelweb.threads import defer_to_thread

log = Logger()


def count_primes(limit: int) -> bytes:
    """Compute, in a thread."""
    scope = current_scope()
    found = 0
    log.info("counting begins")
    try:
        for number in range(2, limit):
            # Raises ScopeCancelled once the client has left. It costs next to nothing.
            scope.check()
            found += all(number % each for each in range(2, int(number**0.5) + 1))
    finally:
        log.info("{found} primes below {number}", found=found, number=number)
    return b"%d\n" % found


class Primes(Resource):
    """Counts the primes anew for each request."""

    isLeaf = True

    @cancel_on_disconnect
    def render_GET(self, request: IRequest) -> Deferred[bytes]:
        """Return the Deferred: the scope waits until the thread has really ended."""
        return defer_to_thread(count_primes, 1_000_000)
