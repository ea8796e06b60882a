from twisted.internet.defer import Deferred
from twisted.web.server import Request

from cancelweb import Cause, Outcome, Scope, cancel_on_disconnect


def tell(scope: Scope) -> None:
    if scope.request is not None:
        scope.note(agent=scope.request.getHeader(b"user-agent"))


def count(outcome: Outcome) -> None:
    counts[outcome.ended.name] = counts.get(outcome.ended.name, 0) + 1


def sorry(request: Request, cause: Cause) -> bytes:
    return f"Please try again: {cause}.\n".encode()


counts: dict[str, int] = {}


@cancel_on_disconnect(on_exit=tell, observers=count, error_page=sorry, timeout=30)
def report(request: Request) -> Deferred[bytes]:
    return Deferred()
