"""Scopes, tracked work and hooks, used by mistake: the complete messages.

What belongs here: mistakes in the use of `cancelweb.Scope` and of the functions that find it. What
does not: the values of options, except the commonest mistakes.
"""

from collections.abc import AsyncIterator, Iterator
from functools import wraps
from io import BytesIO
from subprocess import PIPE, Popen
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import LogLevel
from twisted.web.resource import Resource
from twisted.web.server import Request

from cancelweb import (
    Draining,
    cancel_on_disconnect,
    current_scope,
    scope_of,
)

from .._logs import log_events, of_cancelweb
from .._pages import PAGE, waiting
from .._visits import Visit
from ._mistakes import MistakeTestCase, place

decorate: Any = cancel_on_disconnect


async def work() -> None:
    """Work that is not begun, since it is not called."""


def generating(_: Any) -> Iterator[Deferred[None]]:
    """A hook without `@inlineCallbacks`."""
    yield succeed(None)


async def streaming() -> AsyncIterator[bytes]:
    """A stream that is tracked."""
    yield PAGE


def clean() -> None:
    """A hook that takes nothing."""


async def watching(outcome: Any) -> None:
    """An observer that wants to wait."""


class FindingTests(MistakeTestCase):
    """There is no scope."""

    def test_in_no_request(self) -> None:
        """The error of `current_scope` outside a request says where to call it."""
        self.assert_raises(
            "there is no current scope here. Call this in a handler that is decorated with "
            "@cancel_on_disconnect or wrapped in CancellingResource, or in a coroutine that the "
            "handler awaits. In callbacks and timers, use cancelweb.scope_of(request).",
            current_scope,
        )

    def test_in_a_thread(self) -> None:
        """The error of `current_scope` in a plain thread says how to start the thread."""
        message = (
            "there is no current scope here. A thread has one only if it was started with the "
            "context of a request: start it with cancelweb.threads.defer_to_thread, or pass it the "
            "scope."
        )
        errors: list[str] = []

        def run() -> None:
            try:
                current_scope()
            except LookupError as error:
                errors.append(str(error))

        thread = Thread(target=run)
        thread.start()
        thread.join()
        self.assertEqual(errors, [message])

    def test_of_something_else(self) -> None:
        """The error of `scope_of` for something else than a request shows that."""
        self.assert_raises("scope_of takes a request, not 'request'", lambda: scope_of("request"))


class TrackingTests(MistakeTestCase):
    """What cannot be tracked."""

    def assert_refused(self, wrong: Any, message: str) -> None:
        """The scope does not track it."""
        scope = Visit(waiting).scope
        self.assert_raises(f"cancelweb cannot stop {message}", lambda: scope.track(wrong))

    def test_none(self) -> None:
        """The error of tracking None asks for a missing `return`."""
        self.assert_refused(
            None, "None. Did you forget a `return` in the function that starts the work?"
        )

    def test_a_function(self) -> None:
        """The error of tracking a function says to call it."""
        self.assert_refused(
            work, "the function work. Call it, and pass the work that it returns: work()."
        )

    def test_generators(self) -> None:
        """The error of tracking a generator names the decorator, or says to return a stream."""
        for wrong, message in [
            (generating(None), "Decorate its function with @inlineCallbacks."),
            (streaming(), "An async generator is a stream: return it from the handler."),
        ]:
            shown = repr(wrong) if len(repr(wrong)) <= 60 else f"{repr(wrong)[:57]}..."
            self.assert_refused(wrong, f"{shown}. {message}")

    def test_a_thread(self) -> None:
        """The error of tracking a Thread names `defer_to_thread`."""
        thread = Thread(name="export")
        self.assert_refused(
            thread,
            "<Thread(export, initial)>. Use cancelweb.threads.defer_to_thread to run a function "
            "in a thread.",
        )

    def test_a_process(self) -> None:
        """The error of tracking a Popen names `processes.run`."""
        with Popen(["true"], stdout=PIPE) as process:
            process.wait()
            self.assert_refused(
                process,
                "<Popen: returncode: 0 args: ['true']>. Use cancelweb.processes.run to run a "
                "program.",
            )

    def test_a_kind_of_ones_own(self) -> None:
        """The error of tracking an unknown kind of work says how to register a canceller."""
        self.assert_refused(
            5,
            "5: no canceller is registered for int. Register one: "
            "twisted.python.components.registerAdapter(YourCanceller, int, cancelweb.ICancellable)",
        )

    def test_a_loop_that_is_returned(self) -> None:
        """The error of a loop that was never started names the handler that returned it."""
        loop = LoopingCall(clean)
        self.assert_says(
            lambda _: loop, f"{{at}}: {loop!r} was never started. Call its start() first."
        )

    def test_a_loop_that_an_inner_handler_returned(self) -> None:
        """The error of a loop that an inner handler returned names that handler, and no other."""
        loop = LoopingCall(clean)

        def inner(_: Request) -> LoopingCall:
            return loop

        outer = cancel_on_disconnect(inner)
        message = f"{place(inner)}: {loop!r} was never started. Call its start() first."
        self.assert_says(lambda request: outer(request), message)


class CancellingTests(MistakeTestCase):
    """Arguments of cancel that are not causes."""

    def test_a_text(self) -> None:
        """The error of cancelling for a text says to define a cause."""
        cancel: Any = Visit(waiting).scope.cancel
        self.assert_raises(
            "cause must be a cancelweb.Cause, not 'too slow'. Define a subclass of Cause, and pass "
            "an instance.",
            lambda: cancel("too slow"),
        )

    def test_a_class(self) -> None:
        """The error of cancelling for a class of causes says to pass an instance."""
        cancel: Any = Visit(waiting).scope.cancel
        self.assert_raises(
            "cause must be an instance, not the class Draining. Pass Draining().",
            lambda: cancel(Draining),
        )


TAKES_SCOPE = "on_exit must be a function that takes the scope"
TAKES_OUTCOME = "observers must be functions that take the outcome"

OPTIONS: list[tuple[str, object, str]] = [
    ("on_exit", None, f"{TAKES_SCOPE}, not None. Pass the function itself, without calling it."),
    (
        "on_exit",
        clean,
        f"{TAKES_SCOPE}, but {place(clean)} takes no arguments. Pass `lambda _: function()` "
        "instead.",
    ),
    (
        "on_exit",
        generating,
        f"{TAKES_SCOPE}, but {place(generating)} is a generator. Decorate it with "
        "@inlineCallbacks, or make it an `async def`.",
    ),
    (
        "observers",
        watching,
        f"observers only watch and are not waited for: {place(watching)} is a coroutine function. "
        "Make it a plain function.",
    ),
    (
        "observers",
        Resource,
        f"{TAKES_OUTCOME}, but Resource is a class. Pass an instance: Resource().",
    ),
    ("timeout", "30", "timeout must be a number of seconds, not '30'"),
    ("timeout", -1, "timeout must be more than 0 and finite, not -1"),
]
"""Wrong values of options."""


class OptionsTests(MistakeTestCase):
    """Wrong values of options, and wrong hooks."""

    def test_each(self) -> None:
        """The error of a wrong option shows the value, and what to pass instead."""
        for name, wrong, message in OPTIONS:
            self.assert_raises(message, lambda n=name, w=wrong: decorate(**{n: w}))

    def test_a_hook_that_was_called(self) -> None:
        """The error of a hook that was called when it was passed says to pass the function."""
        on_exit: Any = Visit(waiting).scope.on_exit
        self.assert_raises(
            f"{TAKES_SCOPE}, not None. Pass the function itself, without calling it.",
            lambda: on_exit(clean()),  # type: ignore[func-returns-value]
        )

    def assert_hook_fails(self, hook: Any, message: str) -> None:
        """The hook, which a handler has added, fails with this message."""
        events = log_events(self)
        self.visit(lambda _: current_scope().on_exit(hook) and PAGE)
        (event,) = of_cancelweb(events, LogLevel.critical)
        self.assertEqual(str(event["log_failure"].value), message)
        self.logged_error(TypeError)

    def test_a_hook_that_takes_nothing(self) -> None:
        """The error of a hook that takes no scope says how to pass one that does not."""
        self.assert_hook_fails(
            BytesIO().close,
            "a hook is called with the scope, but BytesIO.close takes no arguments. Pass "
            "`lambda _: function()` instead.",
        )

    def test_a_hook_that_raises_itself(self) -> None:
        """A TypeError that a hook raises itself keeps its message."""

        def hook(_: object) -> None:
            raise TypeError("by design")

        self.assert_hook_fails(hook, "by design")

    def test_a_decorated_hook_that_raises_itself(self) -> None:
        """A TypeError of a hook keeps its message, whatever signature the hook shows."""

        @wraps(clean)
        def hook(_: object) -> None:
            raise TypeError("by design")

        self.assert_hook_fails(hook, "by design")

    def test_a_hook_that_is_a_generator(self) -> None:
        """The error of a hook that is a generator names it, and the decorator that is missing."""
        self.assert_hook_fails(
            generating,
            f"{place(generating)} is a generator, so none of its code has run. Decorate it with "
            "@inlineCallbacks, or make it an `async def`.",
        )
