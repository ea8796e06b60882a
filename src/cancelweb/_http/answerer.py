"""What receives the result of a handler: the seam between a scope and Twisted, or a framework.

One protocol; `answering` has the answerer that writes to Twisted's requests.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

from .._kinds.cancellers import Canceller
from ..causes import Cause


class Later(Enum):
    """Stands for a result that is still to come."""

    LATER = auto()


LATER = Later.LATER


class NoResponse(TypeError):
    """A handler returned what is neither a response nor work.

    Attributes:
        returned: that.
        is_callers: whether the caller is to be given that, as the handler is a wrapped resource.
            For an entry point outside that of a decorated handler, it is an error like any other.
    """

    def __init__(self, message: str, returned: object = None) -> None:
        super().__init__(message)
        self.returned, self.is_callers = returned, False


class Call(Protocol):
    """The call of a handler, which has returned."""

    @property
    def answerer(self) -> Answerer:
        """Receives what it comes to."""

    def arrived(self, result: object) -> None:
        """What it has returned has come to its end, after the call."""


class Answerer(Protocol):
    """Receives what one handler came to.

    A result is bytes, None, ``NOT_DONE_YET`` or a `Failure`; that of a framework may take others.
    """

    def canceller_of(self, work: object) -> Canceller:
        """How to wait for what a handler returned, or for what that came to, and to stop it.

        Raises:
            TypeError: it is nothing that can be waited for; says what to return instead.
        """

    def is_result(self, value: object) -> bool:
        """Whether this is a result, and no work to wait for."""

    def give_back(self, result: object, is_callers: bool) -> object:
        """The handler's call has returned, with a result or with `LATER`.

        Args:
            result: what it has come to so far.
            is_callers: a wrapped resource has raised or returned this without waiting, so that the
                caller is to deal with it as if cancelweb were not there.

        Returns:
            What to return for the call; a `Failure` is raised.
        """

    def deliver(self, result: object) -> None:
        """The result has come after the call."""

    def answer_cancel(self, cause: Cause) -> None:
        """The request was cancelled, and no result will come: answer a client that still waits."""
