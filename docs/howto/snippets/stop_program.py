"""A hook for `CancellingResource` that stops the CGI program of a client who has left."""

from twisted.internet.interfaces import IProcessTransport

from cancelweb import Scope


def stop_program(scope: Scope) -> None:
    """Twisted registers the program as the request's producer, and so it can be found."""
    program = getattr(scope.request.producer, "transport", None)
    if IProcessTransport.providedBy(program):
        scope.track(program)
