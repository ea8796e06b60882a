"""The call of one handler: runs it, and waits for the work that it returned.

An `Answerer` receives the result; the scope stops the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from .._scopes.context import context_to_enter, current, in_context
from .._scopes.found_context import CALLERS, find_context, find_context_of
from .._scopes.states import LeftOpen, State
from .answerer import LATER, Answerer, NoResponse
from .frameworks import note_unawaited_beside
from .request_facts import answer_to_come
from .request_scope import RequestScope


@define(eq=False)
class HandlerCall:
    """One call of a handler, and the answerer that receives its result.

    Attributes:
        scope: the scope of the request.
        answerer: receives the result.
        is_transparent: whether the caller receives what the handler raises or returns at once, as
            if cancelweb were not there. True for a wrapped resource until there is work to wait
            for.
    """

    scope: RequestScope
    answerer: Answerer
    is_transparent: bool = False
    _given: object = field(default=LATER, init=False)

    def run(self, handler: Callable[..., object], args: Any, kwargs: Any) -> None:
        """Call the handler in the context of its scope."""
        # The result is bound to no variable: a failure refers to this frame, and a variable would
        # close a reference cycle.
        if current.get() is self.scope:
            # An outer handler of this scope is calling: both run in one context and see each
            # other's context variables.
            self.returned(_called(handler, args, kwargs))
        else:
            if not self.scope.is_in_call:
                # The outer handler has returned; this one sees its context variables.
                find_context(self.scope)
            context = context_to_enter(self.scope)
            self.returned(context.run(_called, handler, args, kwargs))

    def returned(self, result: object) -> None:
        """Take what the handler's call returned, or its failure."""
        scope = self.scope
        if scope.state is not State.CLOSED and scope.opened is None:
            scope.opened = scope.clock.seconds()
        self._given = self._follow(result)

    def give_back(self, handler: object, is_outermost: bool) -> object:
        """Return what the entry point returns for the call, or the `Failure` that it raises."""
        result, self._given = self._given, LATER
        if is_outermost:
            self._has_returned(handler, result)
        given = self.answerer.give_back(result, self.is_transparent)
        if is_outermost:
            self._subscribe()
            self._note_result(result)
        return given

    def _has_returned(self, handler: object, result: object) -> None:
        scope = self.scope
        scope.handler, scope.general.answerer = handler, self.answerer
        note_unawaited_beside(scope, result)
        scope.general.to_come = answer_to_come(scope.request, result)
        is_given_up = scope.state is State.ANSWERED and scope.life.stopping.is_returned_leftover
        if is_given_up or scope.state is State.STOPPING:
            scope.life.stopping.ask_in_next_turn()

    def _subscribe(self) -> None:
        if self.scope.state is not State.CLOSED:
            self.scope.general.subscribe()

    def _follow(self, value: object) -> object:
        """Return the result of a value that may be work, or `LATER` if that is still running."""
        if self.answerer.is_result(value):
            return value
        # Not bound to a variable, for the same reason as in `run`.
        return self._come_to(self._wait_for(value))

    def _come_to(self, value: object) -> object:
        """The result of work. None is a valid result of work, but not of a handler's call."""
        return value if value is None or value is LATER else self._follow(value)

    def _wait_for(self, value: object) -> object:
        # Work that has ended by now puts its result into `arrivals`; a later result goes to
        # `arrived`.
        arrivals: list[object] = []
        life = self.scope.life
        try:
            canceller = in_context(self.scope, self.answerer.canceller_of, value)
        except NoResponse as error:
            error.is_callers = self.is_transparent
            return None if self._is_dropped_by_twisted else Failure()
        except BaseException:
            return Failure()
        if canceller.suspended is None:
            find_context_of(self.scope, canceller.work)
        self.is_transparent = False
        work = life.stopping.add(canceller, arrivals.append)
        if arrivals:
            return arrivals.pop()
        if work.holder is not None:
            work.arrived = self.arrived
        return LATER

    @property
    def _is_dropped_by_twisted(self) -> bool:
        """Whether Twisted ignores what is returned: a wrapped resource has finished a HEAD."""
        return self.is_transparent and self.scope.method == b"HEAD" and self.scope.is_answered

    def arrived(self, result: object) -> None:
        """See `Call`."""
        if result is not None:
            result = self._follow(result)
        if result is not LATER:
            self.answerer.deliver(result)
            if result is NOT_DONE_YET:
                self.scope.leave_open(LeftOpen.BY_WORK)
            self._note_result(result)

    def _note_result(self, result: object) -> None:
        """Tell a spared scope that its result is there, although its client has left."""
        if self.scope.state is State.SPARED and result is not LATER and result is not NOT_DONE_YET:
            self.scope.life.result_arrived()


CALLERS.add(id(HandlerCall.run.__code__))


def _called(handler: Callable[..., object], args: Any, kwargs: Any) -> object:
    try:
        return handler(*args, **kwargs)
    except BaseException:
        return Failure()
