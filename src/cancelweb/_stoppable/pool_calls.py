"""One call in a child process of a pool: what is sent, and what its Deferred fires with.

`workers` makes the call; `pool` knows which one is next.
"""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Iterable
from functools import partial
from types import FrameType, TracebackType
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from .._kinds.where import Place, function_at, function_name, place
from .._scopes.waits import Wait
from . import pool_child


@define(eq=False)
class Call:
    """A call that waits for a child, is made by one, or is over.

    Attributes:
        name: the name of the function.
        message: what a child is sent.
        cancelled: called with this when the Deferred is cancelled for the first time.
        stop: stops the child that makes the call; None if there is none.
        place: names the child.
    """

    name: str
    message: bytes
    cancelled: Callable[[Call], object]
    stop: Callable[[], object] | None = field(default=None, init=False)
    place: Place = field(factory=lambda: Place("the queue of a process pool"), init=False)
    _wait: Wait[Any] | None = field(default=None, init=False)

    def wait(self) -> Deferred[Any]:
        """Return the Deferred that fires at the end of the call; call this once."""
        self._wait = Wait(lambda _: self.cancelled(self))
        assert self._wait.deferred is not None
        return place(self._wait.deferred, self.place)

    def end(self, result: object) -> None:
        """Fire the Deferred: with a result or a Failure, or with CancelledError if cancelled."""
        # The wait and the child refer to this object.
        wait, self._wait, self.stop = self._wait, None, None
        assert wait is not None
        wait.end(result)

    def give_up(self) -> None:
        """End a call that no child makes."""
        self.end(Failure(CancelledError()))

    def returned(self, message: bytes) -> None:
        """End the call with the child's message about it."""
        self.end(_result_of(self.name, message))


def message_of(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Pickle a call.

    Raises:
        TypeError: the function or an argument cannot be pickled.
    """
    try:
        call = pickle.dumps((f, args, kwargs), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise TypeError(_advice(f, error)) from error
    return pickle.dumps((name_of(f), call))


def name_of(f: Callable[..., Any]) -> str:
    """The name of a function with its module, such as ``report.pages``."""
    while isinstance(f, partial):
        f = f.func
    module, name = getattr(f, "__module__", None), function_name(f)
    return f"{module}.{name}" if module else name


def _advice(f: Callable[..., Any], error: Exception) -> str:
    try:
        pickle.dumps(f)
    except Exception:
        return (
            f"{function_at(f)} cannot be called in a child process, which imports it by its name: "
            f"{error}. Define it at the top of a module, without a decorator that replaces it."
        )
    return (
        f"an argument of {name_of(f)} cannot be pickled and sent to a child process: {error}. "
        "Pass plain data, and open connections and files in the function."
    )


def _result_of(name: str, message: bytes) -> Any:
    kind, body = message[:1], memoryview(message)[1:]
    if kind != pool_child.RESULT:
        return _failure_of(pickle.loads(body))
    try:
        return pickle.loads(body)
    except BaseException as error:
        # Even SystemExit: the call must end.
        text = f"what {name} returned could not be loaded in this process: {error!r}"
        return Failure(RuntimeError(text))


class ChildTraceback(Exception):
    """The traceback of an exception in a child process, as text: its ``__cause__``."""


def _failure_of(raised: pool_child.Raised) -> Failure:
    data, text, printed, frames = raised
    error: Exception = RuntimeError(text)
    if data is not None:
        try:
            error = _exception_of(data)
        except BaseException as why:
            error = RuntimeError(f"{text}: {why!r}")
    # Not by assignment, which a frozen class refuses.
    Exception.__setattr__(error, "__cause__", ChildTraceback(f"\n{printed}"))
    # Twisted logs the frames of an exception, but not its cause.
    return Failure(error, type(error), _traceback(frames))


def _exception_of(data: bytes) -> Exception:
    error: object = pickle.loads(data)
    if not isinstance(error, Exception):
        raise TypeError(f"its pickle is that of {error!r}")
    return error


def _traceback(frames: Iterable[tuple[str, int, str]]) -> TracebackType | None:
    """A traceback with the lines of another process."""
    made: TracebackType | None = None
    for file, line, function in reversed(list(frames)):
        made = TracebackType(made, _frame(file, function), 0, line)
    return made


def _frame(file: str, function: str) -> FrameType:
    code = compile("caller()", file, "eval").replace(co_name=function, co_qualname=function)
    frame: FrameType = eval(code, {"caller": _caller})
    return frame


def _caller() -> FrameType:
    here = inspect.currentframe()
    assert here is not None and here.f_back is not None
    return here.f_back
