"""The usual assertions about requests; each failure says what was found."""

from __future__ import annotations

from .._checks import check_instance
from .._log import ended_text
from ..causes import Ended, Outcome
from ._client import Client
from ._clock import turn
from ._exchange import Exchange


def assert_stopped(exchange: Exchange) -> None:
    """Assert that the handler's work was stopped.

    For a handler under cancelweb, its outcome decides. For any other handler, nothing may be left
    of what came onto the clock since the client was made.

    Work that was let go was not stopped. If your test uses a Deferred to stand for a wait, give it
    a canceller: ``Deferred(lambda _: None)``.

    Raises:
        AssertionError: the work was not stopped. The message says what became of it.
        ValueError: the client was made with ``watch=False``.
    """
    _check_exchange(exchange)
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
        raise AssertionError(f"{exchange} was not stopped: still on the clock: {', '.join(left)}")


def assert_not_cancelled(exchange: Exchange) -> None:
    """Assert that the work was not cancelled: it has run to its end, or still runs.

    A request that ``methods`` or ``dry_run`` spared passes.

    Raises:
        AssertionError: it was cancelled. The message says why.
        ValueError: the client was made with ``watch=False``.
    """
    _check_exchange(exchange)
    _ = exchange.client.leaks  # raises the ValueError
    served = exchange.served
    scope = None if served is None else served.scope
    cause = None if scope is None else scope.cause
    if cause is not None:
        raise AssertionError(f"{exchange} was cancelled: {cause}")


def assert_no_leaks(client: Client) -> None:
    """Assert that the client's requests have left nothing behind.

    Looks for open scopes, for delayed calls that were not on the clock when the client was made,
    and for failures logged since then, including unhandled errors in Deferreds. What is due now is
    run first. Close connections before: an idle one has a timer.

    Raises:
        AssertionError: something is left. The message lists it.
        ValueError: the client was made with ``watch=False``.
    """
    check_instance("client", client, Client, "a cancelweb.testing.Client")
    leaks = client.leaks
    turn(client.clock)
    found = [f"open: {each}" for each in leaks.open_scopes()]
    found += [f"on the clock: {each}" for each in leaks.calls()]
    found += [f"logged: {each}" for each in leaks.errors()]
    if found:
        raise AssertionError("requests left something behind:\n  " + "\n  ".join(found))


def _check_exchange(exchange: object) -> None:
    text = "an exchange, as Client.get returns it"
    check_instance("exchange", exchange, Exchange, text)


def _told(outcome: Outcome) -> str:
    cause = "it was not cancelled" if outcome.cause is None else str(outcome.cause)
    failure = "" if outcome.failure is None else f", with {outcome.failure.value!r}"
    left = f"; leftover work asked to stop: {outcome.leftovers}" if outcome.leftovers else ""
    return f"{cause}; its work {ended_text(outcome.ended)}{failure}{left}"


def _answer(exchange: Exchange) -> str:
    response = exchange.response
    return "" if response is None else f"; it was answered with {response.code}"
