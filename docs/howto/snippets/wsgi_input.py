from contextlib import suppress

from twisted.internet.defer import CancelledError


def quiet(application):
    def run(environ, start_response):
        # The client has left, and Twisted drops what is returned.
        with suppress(CancelledError):
            yield from application(environ, start_response)

    return run
