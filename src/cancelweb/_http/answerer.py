"""The answerer: receives a handler's result, and passes it to Twisted or to another framework.

This module has the protocol only. `answering` has the answerer for Twisted's requests.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

from .._kinds.cancellers import Canceller
from ..causes import Cause


class Later(Enum):
    """The placeholder for a result that is still to come."""

    LATER = auto()


LATER = Later.LATER


class NoResponse(TypeError):
    """A handler returned a value that is neither a response nor work.

    Attributes:
        returned: the value.
        is_callers: whether the caller receives the value, because the handler is a wrapped
            resource. From a decorated handler it is an error like any other.
    """

    def __init__(self, message: str, returned: object = None) -> None:
        super().__init__(message)
        self.returned, self.is_callers = returned, False


class Call(Protocol):
    """The call of a handler that has returned."""

    @property
    def answerer(self) -> Answerer:
        """The answerer that receives the result."""

    def arrived(self, result: object) -> None:
        """Handle the result of the returned work, which has ended after the call."""


class Answerer(Protocol):
    """Receives the result of one handler.

    A result is bytes, None, ``NOT_DONE_YET`` or a `Failure`. An answerer for another framework may
    accept further results.
    """

    def canceller_of(self, work: object) -> Canceller:
        """The canceller for work that a handler returned, or that other returned work resulted in.

        Raises:
            TypeError: the value is not work; the message says what to return instead.
        """

    def is_result(self, value: object) -> bool:
        """Whether the value is a result, rather than work to wait for."""

    def give_back(self, result: object, is_callers: bool) -> object:
        """Answer when the handler's call has returned, with a result or with `LATER`.

        Args:
            result: the result so far.
            is_callers: whether a wrapped resource raised or returned this at once. The caller then
                receives it as if cancelweb were not there.

        Returns:
            What the entry point returns for the call; it raises a `Failure` instead.
        """

    def deliver(self, result: object) -> None:
        """Answer with a result that came after the handler's call had returned."""

    def answer_cancel(self, cause: Cause) -> None:
        """Answer a client that still waits; the request was cancelled, so no result will come."""
