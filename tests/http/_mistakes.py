"""Mistakes of users: committing one, and reading the whole message.

What belongs here: how a message is found, and how it names a place. What does not: the messages.
"""

from collections.abc import Callable
from typing import Any

from twisted.logger import LogLevel, formatEvent

from cancelweb.testing import Connection

from .._logs import log_events, of_cancelweb
from .._pages import Handler
from .._visits import VisitTestCase, connect


def place(function: Any, line: int = 0) -> str:
    """A function as messages name it: at its first line, or so many lines below."""
    code = function.__code__
    return f"{code.co_filename}:{code.co_firstlineno + line} in {code.co_qualname}"


class MistakeTestCase(VisitTestCase):
    """A test that makes mistakes, and compares complete messages.

    In a message, ``{at}`` stands for the place of the handler.
    """

    def assert_raises(
        self, message: str, function: Callable[..., Any], *args: Any, **kw: Any
    ) -> None:
        """The call raises an error with this message."""
        with self.assertRaises(Exception) as caught:
            function(*args, **kw)
        self.assertEqual(str(caught.exception), message)

    def assert_says(self, handler: Handler, message: str, line: int = 0, **options: Any) -> None:
        """A GET of the decorated handler is answered 500, and the error has this message."""
        error = self.assert_failed(self.visit(handler, **options), Exception)
        self.assertEqual(str(error), message.replace("{at}", place(handler, line)))

    def assert_logs(self, root: Any, message: str, level: LogLevel) -> None:
        """A GET of the resource has cancelweb log this message, and a second GET logs nothing."""
        events = log_events(self)
        for _ in range(2):
            connect(root, self.clock).get()
        lines = [formatEvent(event) for event in of_cancelweb(events, level)]
        self.assertEqual(lines, [message])

    def serve_resource(self, root: Any) -> Connection:
        """A connection to a resource."""
        return connect(root, self.clock)
