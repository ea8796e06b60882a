from contextlib import suppress

from twisted.internet.defer import CancelledError


def quiet(application):
    def run(environ, start_response):
        # The client has disconnected, so Twisted drops the result.
        with suppress(CancelledError):
            chunks = application(environ, start_response)
            try:
                for chunk in chunks:
                    yield chunk
            finally:
                # WSGI requires that the result is closed, however it ends.
                if hasattr(chunks, "close"):
                    chunks.close()

    return run
