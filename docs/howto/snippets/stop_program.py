"""A hook for `CancellingResource` that stops the CGI program of a client that disconnected."""

from twisted.internet.interfaces import IProcessTransport

from cancelweb import Scope


def stop_program(scope: Scope) -> None:
    """Find the program: Twisted registered it as the producer of the request."""
    program = getattr(scope.request.producer, "transport", None)
    if IProcessTransport.providedBy(program):
        scope.track(program)
