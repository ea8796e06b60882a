"""What the tests of scopes, hooks and doors share: a resource, work to stop, and a visit.

What belongs here: the least that a test needs to put a handler behind a real Site and to see
what becomes of it. What does not: the client itself, and anything that only one module needs.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from cancelweb import ICancellable, Outcome, Scope, cancel_on_disconnect, current_scope

from ._inmemory import Client

Handler = Callable[[Any], object]


class Leaf(Resource):
    """A resource of which one function does all the rendering, whatever the method."""

    isLeaf = True

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self._handler = handler

    def render(self, request: Request) -> Any:
        """Let the function do it."""
        return self._handler(request)


@implementer(ICancellable)
class Errand:
    """Work that the test ends when it likes.

    Args:
        asked: Where it notes each time that it is asked to stop.
        name: What it notes there.
        obedient: Whether it ends as soon as it is asked.
    """

    def __init__(
        self, asked: list[str] | None = None, name: str = "", *, obedient: bool = True
    ) -> None:
        self.asked: list[str] = [] if asked is None else asked
        self._name = name
        self._obedient = obedient
        self.has_ended = False
        self._settled: Deferred[Any] = Deferred()

    def cancel(self) -> None:
        """Note that it was asked."""
        self.asked.append(self._name)
        if self._obedient:
            self.end(Failure(CancelledError()))

    def when_settled(self) -> Deferred[Any]:
        """Fires when the test says so."""
        return self._settled

    def end(self, result: object = None) -> None:
        """End, once."""
        if not self.has_ended:
            self.has_ended = True
            self._settled.callback(result)

    def fail(self, error: Exception) -> None:
        """End with a failure."""
        self.end(Failure(error))


class Visit(Client):
    """One request to one decorated handler, and what is told of it.

    Attributes:
        scope: The request's; there once the handler has been called.
        outcomes: What the observers were told; unless the options name others.
    """

    scope: Scope

    def __init__(self, handler: Handler, *, method: bytes = b"GET", **options: Any) -> None:
        self.outcomes: list[Outcome] = []
        self._handler = handler
        options.setdefault("observers", self.outcomes.append)
        super().__init__(Leaf(cancel_on_disconnect(**options)(self._handle)))
        self.request(method=method)

    def _handle(self, request: Request) -> object:
        self.scope = current_scope()
        return self._handler(request)

    @property
    def outcome(self) -> Outcome:
        """The only one."""
        assert len(self.outcomes) == 1, self.outcomes
        return self.outcomes[0]


def waiting(request: Request) -> Deferred[bytes]:
    """A handler that waits for ever."""
    return Deferred()


def returning(result: object) -> Handler:
    """A handler of this result."""
    return lambda _: result


def raising(request: Request) -> bytes:
    """A handler with an error."""
    raise ValueError("the handler's")


def lose(request: Request) -> None:
    """Let the client leave while its request is being handled."""
    transport: Any = request.transport
    transport.lose(Failure(ConnectionDone()))


def kept_request(method: bytes = b"GET", path: bytes = b"/") -> tuple[Client, Request]:
    """A request that no door has met, and its client."""
    kept: list[Request] = []

    def keep(request: Request) -> int:
        kept.append(request)
        return NOT_DONE_YET

    client = Client(Leaf(keep), Clock())
    client.request(method=method, path=path)
    return client, kept[0]


class HookTestCase(SynchronousTestCase):
    """What the tests below share."""

    def setUp(self) -> None:
        """Note what ran."""
        self.ran: list[str] = []

    def hook(self, name: str, result: object = None) -> Any:
        """A hook that notes its name."""

        def noting(scope: Scope) -> object:
            self.ran.append(name)
            return result

        return noting
