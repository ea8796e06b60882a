"""What one handler's call comes to: bytes, a failure, or work whose result is waited for.

Who receives the result is an `Answerer`'s business, what stops the work is the scope's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.python.failure import Failure

from .answerer import LATER, Answerer
from .request_scope import RequestScope


@define(eq=False)
class HandlerCall:
    """One call of a handler, and the answerer that receives what it comes to."""

    scope: RequestScope
    answerer: Answerer

    def run(self, handler: Callable[..., object], args: Any, kwargs: Any) -> object:
        """Call the handler, in its scope's context.

        Returns:
            Its result, as far as it has come by then, or `LATER`.
        """
        # Not bound to a variable: a failure refers to this frame, as the one that calls `_called`.
        return self._follow(self._called(handler, args, kwargs))

    def _called(self, handler: Callable[..., object], args: Any, kwargs: Any) -> object:
        try:
            return handler(*args, **kwargs)
        except BaseException:
            return Failure()
        finally:
            self.scope.life.call_returned()

    def give_back(self, result: object, is_outermost: bool) -> object:
        """What to return for the handler's call, or the `Failure` to raise."""
        if is_outermost:
            self.scope.call_returned_to(self.answerer)
        given = self.answerer.give_back(result)
        if is_outermost:
            self.scope.subscribe()
        return given

    def _follow(self, value: object) -> object:
        """Wait for a value, and for what that comes to, as far as it has come by now."""
        if self.answerer.is_result(value):
            return value
        # Not bound to a variable: a failure refers to this frame, which calls `_wait_for`.
        return self._come_to(self._wait_for(value))

    def _come_to(self, value: object) -> object:
        """What work has come to. None is a result only here: a handler that returns it errs."""
        return value if value is None or value is LATER else self._follow(value)

    def _wait_for(self, value: object) -> object:
        # While the call is on the stack, its result is returned; later it is delivered.
        arrivals: list[object] = []
        life = self.scope.life
        try:
            canceller = life.in_context(self.answerer.canceller_of, value)
        except BaseException:
            return Failure()
        work = life.stopping.add(canceller, arrivals.append)
        if arrivals:
            return arrivals.pop()
        if work.holder is not None:
            work.arrived = self._arrived
        return LATER

    def _arrived(self, result: object) -> None:
        """What was waited for has come to its end after the handler's call."""
        if result is not None:
            result = self._follow(result)
        if result is not LATER:
            self.answerer.deliver(result)
