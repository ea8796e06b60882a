"""The answerer for Twisted Web: sends a response or an error page, or breaks a response off.

Nothing else writes to a request or finishes it, except `turned_away`, and `pages`, `error_pages`,
`site_pages`, `breaking_off` and `streams`, which this module uses.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.error import UnsupportedMethod
from twisted.web.iweb import IRenderable
from twisted.web.server import NOT_DONE_YET
from twisted.web.template import Tag, flattenString

from .._kinds.cancellations import is_cancellation, is_fault_if_unanswered
from .._kinds.cancellers import Canceller
from .._kinds.deferred_kinds import DeferredCanceller
from .._kinds.registry import find_canceller
from .._log import full_name_of, log
from .._scopes.context import start_for
from .._scopes.states import Fate, LeftOpen, State
from .._scopes.telling import log_failure_in, log_in
from ..causes import Cause, ScopeCancelled
from . import mistakes
from .answerer import LATER, NoResponse
from .breaking_off import break_off
from .dead_requests import drop_producer, guarded_fate_of
from .error_pages import answer_failure, answer_in_place, is_twisteds
from .faked_head import is_faked_head, will_be_faked
from .pages import send, tell_listeners
from .request_facts import fate_of, has_begun, is_taken_over
from .request_scope import RequestScope
from .streams import Stream, close_stream

Rendered = bytes | int
"""What Twisted accepts from a render method: the body, or ``NOT_DONE_YET``."""


@define(eq=False)
class TwistedAnswerer:
    """Answers a request with the result of a handler. See `Answerer`.

    Attributes:
        scope: the scope of the request.
        request: the request, kept here because the scope drops it when it closes.
        handler: the handler that errors name.
        is_outermost: whether Twisted itself makes the call and receives the result.
    """

    scope: RequestScope
    request: Any
    handler: object
    is_outermost: bool

    # --- work ---

    def is_result(self, value: object) -> bool:
        """See `Answerer`."""
        return isinstance(value, bytes | Failure) or value is NOT_DONE_YET

    def canceller_of(self, work: object) -> Canceller:
        """See `Answerer`."""
        canceller = find_canceller(work, partial(start_for, self.scope))
        if canceller is not None:
            return canceller
        if IRenderable.providedBy(work) or isinstance(work, Tag):
            page = flattenString(self.request, work)
            return DeferredCanceller(page.addCallback(b"<!DOCTYPE html>\n".__add__))
        if isinstance(work, Iterator | AsyncIterator):
            return DeferredCanceller(self._stream(work), work)
        raise mistakes.no_response(self.handler, self.request, work, self.is_outermost)

    def _stream(self, chunks: Iterator[object] | AsyncIterator[object]) -> Deferred[None]:
        if is_faked_head(self.request) or fate_of(self.request) is not Fate.OPEN:
            return start_for(self.scope, close_stream(chunks))
        scope = self.scope
        wrong = partial(mistakes.wrong_chunk, self.handler, chunks)
        stream = Stream(self.request, scope.clock, lambda: scope.cause is not None, wrong)
        return start_for(self.scope, stream.run(chunks))

    # --- the result ---

    @property
    def _innermost(self) -> object:
        """The handler that the log names; the outcome names the same one."""
        return self.scope.rare.inner_handler or self.handler

    @property
    def _is_answerable(self) -> bool:
        is_open = self.scope.state is State.RUNNING and self.scope.fate is Fate.OPEN
        return is_open and fate_of(self.request) is Fate.OPEN

    def give_back(self, result: object, is_callers: bool) -> object:
        """See `Answerer`: a returned failure is raised, and Twisted answers it."""
        if self._is_answerable:
            if isinstance(result, bytes):
                return self._hand_over(result)
            if isinstance(result, Failure) and (is_callers or is_twisteds(self.request, result)):
                return self._hand_over_failure(result, is_callers)
            if result is None and is_faked_head(self.request):
                return NOT_DONE_YET
        if result is not LATER:
            self.deliver(result)
        return NOT_DONE_YET

    def _hand_over(self, body: object) -> object:
        if self.is_outermost:
            self.scope.life.finished()
        return NOT_DONE_YET if self._is_answered_by_hook() else body

    def _hand_over_failure(self, failure: Failure, is_callers: bool) -> object:
        if isinstance(failure.value, NoResponse) and failure.value.is_callers:
            mistakes.note_answered_by_twisted(self.scope, failure.value)
            return self._hand_over(failure.value.returned)
        if self.is_outermost and will_be_faked(failure.value, self.scope.method):
            self._withdraw()
            return failure
        if not is_callers:
            mistakes.explain_failure(failure, self.handler, self.scope.rare.inner_handler)
        return self._raise(failure)

    def _raise(self, failure: Failure) -> Rendered | Failure:
        is_error, context = failure.check(UnsupportedMethod) is None, self.scope.context
        if is_error and (self.is_outermost or self.scope.handler is not None):
            self.scope.life.record.fail(failure)
        if self.is_outermost:
            self.scope.life.finished()
        if not self._is_answered_by_hook():
            return failure
        if is_error:
            log_failure_in(context, self._innermost, failure)
        return NOT_DONE_YET

    def _withdraw(self) -> None:
        """Close the scope without hooks and observers, because Twisted calls the handler again."""
        for monitor in self.scope.options.monitors:
            monitor.scope_withdrawn(self.scope)
        self.scope.life.close()

    def _is_answered_by_hook(self) -> bool:
        """Whether a hook has finished the request meanwhile, so that Twisted must not answer."""
        return guarded_fate_of(self.request) is not Fate.OPEN

    def deliver(self, result: object) -> None:
        """See `Answerer`."""
        if isinstance(result, bytes):
            self._write(result)
        elif isinstance(result, Failure):
            self._failed(result)
        elif self._is_upgraded:
            self.scope.life.finished()
        elif result is None:
            self._written()
        self.scope.leave_open(LeftOpen.BY_HANDLER if result is NOT_DONE_YET else LeftOpen.NO)
        self.scope.catch_up()

    @property
    def _is_upgraded(self) -> bool:
        """Whether the connection was upgraded, so that ``notifyFinish`` will never fire."""
        is_open = self.scope.handler is not None and self.scope.fate is Fate.OPEN
        return is_open and is_taken_over(self.request, self.scope.general.channel)

    def _write(self, body: bytes) -> None:
        if self._is_answerable:
            try:
                send(self.request, body)
            except BaseException:
                self._failed(Failure())

    def _written(self) -> None:
        """Finish a response that the handler has written, unless a producer writes the rest."""
        if self._is_answerable and getattr(self.request, "producer", None) is None:
            mistakes.note_empty_page(self.scope, self.request, self._innermost)
            try:
                self.request.finish()
            except BaseException:
                self._failed(Failure())

    # --- errors ---

    def _failed(self, failure: Failure) -> None:
        if self._is_answerable and is_fault_if_unanswered(failure):
            # Code that cancelled the work, or saw its exit status, may still answer in this turn.
            self.scope.clock.callLater(0, self._answer_failure, failure)
        else:
            self._answer_failure(failure)

    def _answer_failure(self, failure: Failure) -> None:
        mistakes.explain_failure(failure, self.handler, self.scope.rare.inner_handler)
        if not self._is_answerable:
            self._note_unanswered(failure)
            return
        self.scope.life.record.fail(failure)
        if has_begun(self.request):
            log_failure_in(self.scope.context, self._innermost, failure)
            return break_off(self.scope, self.request)
        drop_producer(self.request, self.scope.context)
        try:
            answer_failure(self.scope, self.request, self._innermost, failure)
        except BaseException:
            self._break_off()
        self.scope.catch_up()

    def _note_unanswered(self, failure: Failure) -> None:
        # An unsupported method is the client's mistake, and the client can no longer be told.
        if not is_fault_if_unanswered(failure) and not failure.check(UnsupportedMethod):
            self._note(failure)
            log_failure_in(self.scope.context, self._innermost, failure)
        elif is_cancellation(failure):
            self._note(failure)  # Other code has cancelled this work, not cancelweb.

    def _note(self, failure: Failure) -> None:
        if self.scope.state is not State.CLOSED:
            self.scope.life.record.note(failure)

    def _break_off(self) -> None:
        """Break off, because a request of the user's own class raised while being answered."""
        self.scope.life.record.fail(Failure())
        text, name = "the request of {handler} could not be answered", full_name_of(self._innermost)
        log_in(self.scope.context, log.failure, text, handler=name)
        if fate_of(self.request) is Fate.OPEN:
            # Otherwise the whole answer was out before the request raised.
            break_off(self.scope, self.request)

    # --- a cancel ---

    def answer_cancel(self, cause: Cause) -> None:
        """See `Answerer`: an error page, or an aborted connection if part of a response is out."""
        request, scope = self.request, self.scope
        if fate_of(request) is not Fate.OPEN:
            return
        if not has_begun(request):
            drop_producer(request, scope.context)
        ours = scope, scope.general.subscription
        tell_listeners(request, ours, Failure(ScopeCancelled(cause)), scope.context)
        if fate_of(request) is not Fate.OPEN:
            return
        if has_begun(request):
            break_off(scope, request)
            return
        try:
            answer_in_place(scope, request, cause)
        except BaseException:
            self._break_off()
