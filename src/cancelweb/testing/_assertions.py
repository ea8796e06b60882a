"""The usual assertions, each of which says what was found where it fails."""

from __future__ import annotations

from .._log import ended_text
from ..causes import Ended, Outcome
from ._client import Client
from ._clock import turn
from ._exchange import Exchange


def assert_stopped(exchange: Exchange) -> None:
    """Insist that the handler's work was stopped.

    For a handler under cancelweb that is what its outcome says. For any other it is that nothing
    which came onto the clock since the client was made is still there.

    Work that was let go was not stopped. A Deferred of the test's own that stands for a wait says
    so with a canceller: ``Deferred(lambda _: None)``.

    Raises:
        AssertionError: it was not; says what became of it.
        ValueError: the client was made with ``watch=False``.
    """
    leaks = exchange.client.leaks
    if exchange.served is None:
        raise AssertionError(f"{exchange}: the server has not read the request")
    outcome = exchange.outcome
    if outcome is not None:
        if outcome.cause is None or outcome.ended > Ended.STOPPED:
            raise AssertionError(f"{exchange} was not stopped: {_told(outcome)}{_answer(exchange)}")
    elif exchange.served.scope is not None:
        raise AssertionError(f"{exchange} was not stopped: it still runs{_answer(exchange)}")
    elif left := leaks.calls():
        raise AssertionError(f"{exchange} was not stopped: on the clock there is {', '.join(left)}")


def assert_not_cancelled(exchange: Exchange) -> None:
    """Insist that the work was left alone: it has run to its end, or still runs.

    Raises:
        AssertionError: it was cancelled, or would have been without ``dry_run`` or ``methods``;
            says why.
        ValueError: the client was made with ``watch=False``.
    """
    _ = exchange.client.leaks  # which there are not, where requests are not watched
    served = exchange.served
    scope = None if served is None else served.scope
    cause = None if scope is None else scope.cause
    if cause is not None:
        raise AssertionError(f"{exchange} was cancelled: {cause}")


def assert_no_leaks(client: Client) -> None:
    """Insist that nothing is left of what the client has asked for.

    Looks for scopes that are open, delayed calls that were not on the clock when the client was
    made, and failures logged since, unhandled errors in Deferreds among them. What is due now is
    run first. Close connections before: an idle one has a timer.

    Raises:
        AssertionError: something is left; says what.
        ValueError: the client was made with ``watch=False``.
    """
    leaks = client.leaks
    turn(client.clock)
    found = [f"open: {each}" for each in leaks.open_scopes()]
    found += [f"on the clock: {each}" for each in leaks.calls()]
    found += [f"logged: {each}" for each in leaks.errors()]
    if found:
        raise AssertionError("something is left:\n  " + "\n  ".join(found))


def _told(outcome: Outcome) -> str:
    cause = "it was not cancelled" if outcome.cause is None else str(outcome.cause)
    failure = "" if outcome.failure is None else f", with {outcome.failure.value!r}"
    left = f"; {outcome.leftovers} beside it, left over, asked to stop" if outcome.leftovers else ""
    return f"{cause}; its work {ended_text(outcome.ended)}{failure}{left}"


def _answer(exchange: Exchange) -> str:
    response = exchange.response
    return "" if response is None else f"; it was answered with {response.code}"
