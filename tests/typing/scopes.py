"""Which hooks and observers type-check, and what a scope gives for the work that it is given.

What belongs here: programs about scopes as users write them, checked as `handlers.py` is.
"""

from collections.abc import Awaitable
from concurrent.futures import Future
from functools import partial
from io import BytesIO
from typing import assert_type

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Request

from cancelweb import (
    CancellingResource,
    Cause,
    Outcome,
    Scope,
    Shared,
    access_log_499,
    cancel_on_disconnect,
    current_scope,
    detach,
    log_outcome,
    scope_of,
    shield,
    threads,
)

# --- hooks, observers and error pages ---


def setting(scope: Scope) -> None:
    scope.cause = None  # type: ignore[misc]
    scope.deadline = 5.0  # type: ignore[misc]
    scope.dead_line = 5.0  # type: ignore[attr-defined]


def hook(scope: Scope) -> None:
    assert_type(scope.request, Request | None)
    assert_type(scope.cause, Cause | None)
    len(scope.request.path)  # type: ignore[union-attr]
    if scope.request is not None:
        assert_type(scope.request.path, bytes)


async def slow_hook(scope: Scope) -> None:
    await succeed(scope.ended)


def wrong_hook(request: Request) -> None: ...


def no_hook() -> None: ...


def observer(outcome: Outcome) -> None:
    assert_type(outcome.cause, Cause | None)


def error_page(request: Request, cause: Cause) -> bytes | Resource | None:
    return str(cause).encode() if request.args else Resource()


def text_page(request: Request, cause: Cause) -> str:
    return str(cause)


@cancel_on_disconnect(
    on_cancel=hook,
    on_exit=[slow_hook, access_log_499],
    observers=(observer, log_outcome),
    error_page=error_page,
    clock=Clock(),
)
def options(request: Request) -> bytes:
    scope = current_scope()
    scope.on_cancel(hook)
    scope.on_exit(wrong_hook)  # type: ignore[type-var]
    assert_type(scope_of(request), Scope)
    return b""


@cancel_on_disconnect(on_cancel=lambda scope: scope.note(name="report"))
def inline(request: Request) -> bytes:
    @current_scope().on_exit
    def decorated(scope: Scope) -> Deferred[None]:
        return succeed(None)

    assert_type(decorated(current_scope()), Deferred[None])
    return b""


cancel_on_disconnect(on_cancel=wrong_hook)  # type: ignore[arg-type]
cancel_on_disconnect(on_exit=no_hook)  # type: ignore[arg-type]
cancel_on_disconnect(on_exit=hook(current_scope()))  # type: ignore[call-overload,func-returns-value]
cancel_on_disconnect(observers=[hook])  # type: ignore[list-item]
cancel_on_disconnect(error_page=text_page)  # type: ignore[arg-type]
cancel_on_disconnect(timeout="3")  # type: ignore[call-overload]
cancel_on_disconnect(time_out=3)  # type: ignore[call-overload]
CancellingResource(Resource(), on_cancel=wrong_hook)  # type: ignore[arg-type]


# --- work ---


async def load(name: str) -> bytes:
    return name.encode()


def open_file(name: str) -> Deferred[BytesIO]:
    return succeed(BytesIO(name.encode()))


def compute(number: int, *, times: int = 1) -> float:
    return number * times / 2


async def work(scope: Scope, future: Future[bytes], awaitable: Awaitable[bytes]) -> None:
    assert_type(scope.track(load("a")), Deferred[bytes])
    assert_type(scope.track(open_file("a")), Deferred[BytesIO])
    assert_type(scope.track(future), Future[bytes])
    assert_type(await scope.track(awaitable), bytes)
    assert_type(await scope.acquire(open_file("a"), BytesIO.close), BytesIO)
    scope.acquire(open_file("a"), no_hook)  # type: ignore[arg-type]
    assert_type(await shield(load("a")), bytes)
    assert_type(await shield(load, "a"), bytes)
    assert_type(await shield(compute, 1, times=2), float)
    shield(load, 1)  # type: ignore[call-overload]
    detach(load("a"))
    assert_type(await threads.defer_to_thread(compute, 1, times=2), float)
    threads.defer_to_thread(compute, "1")  # type: ignore[arg-type]


class Rates:
    """Shared functions and methods."""

    @Shared
    async def rate(self, name: str) -> float:
        return 1.0

    @Shared
    def page(self, name: str) -> Deferred[bytes]:
        return succeed(name.encode())

    @partial(Shared, linger=2)
    async def lingering(self, name: str) -> float:
        return 1.0


shared = Shared(load, 2, clock=Clock())


async def use(rates: Rates) -> None:
    assert_type(await rates.rate("EUR"), float)
    assert_type(rates.page("EUR"), Deferred[bytes])
    assert_type(await shared("a"), bytes)
    await shared(1)  # type: ignore[arg-type]
    await rates.rate(1)  # type: ignore[arg-type]
