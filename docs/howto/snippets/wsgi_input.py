from contextlib import suppress

from twisted.internet.defer import CancelledError


def quiet(application):
    def run(environ, start_response):
        # The client has left, and Twisted drops what is returned.
        with suppress(CancelledError):
            chunks = application(environ, start_response)
            try:
                for chunk in chunks:
                    yield chunk
            finally:
                # WSGI wants the result of an application closed, however it ends.
                if hasattr(chunks, "close"):
                    chunks.close()

    return run
