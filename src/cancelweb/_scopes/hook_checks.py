"""Validation of hooks and observers.

Other options are checked in `checks`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from inspect import CO_VARARGS
from types import FunctionType

from twisted.internet.task import LoopingCall

from .._checks import shown
from .._kinds.places import place_of, short_name_of
from ..causes import Observer
from .bursts import log_outcome
from .checks import signature_unless
from .hook_index import Hook

ALSO_OBSERVERS: list[Hook] = []
"""The ready-made hooks that entry points accept as observers, too. `observers` adds its own."""


def check_callable(name: str, function: object) -> None:
    """Raise unless the value is a callable; the hint is for a hook that was called when passed."""
    # A LoopingCall is callable only for its clock.
    if not callable(function) or isinstance(function, LoopingCall):
        raise TypeError(f"{_must(name)}, not {shown(function)}{_instead(name, function)}")
    if function is log_outcome and name != "observers":
        raise TypeError(
            f"{_must(name)}, but log_outcome is an observer, which takes the outcome. Pass it in "
            "`observers`; it is their default."
        )


def check_hook(name: str, hook: Callable[..., object]) -> None:
    """Raise unless the value is a callable of one argument, as far as a look at it can tell.

    A whole signature would cost a request too much; `explain_call` tells the rest.
    """
    check_callable(name, hook)
    if type(hook) is FunctionType:
        code = hook.__code__
        if code.co_argcount == 1 or code.co_flags & CO_VARARGS:
            return
    elif not isinstance(hook, type):
        return
    _check_signature(name, hook)


def _must(name: str) -> str:
    if name == "observers":
        return "observers must be functions that take the outcome"
    return f"{name} must be a function that takes the scope"


def _instead(name: str, given: object) -> str:
    if given is None:
        return ". Pass the function itself, without calling it."
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | Awaitable):
        return ". To give several, pass a list or a tuple."
    is_work = isinstance(given, Awaitable | Future | LoopingCall)
    if is_work and name in ("on_cancel", "on_exit"):
        return ". To have work waited for, pass a function that returns it: `lambda scope: work`."
    return ""


def hooks_from(name: str, given: object) -> tuple[Hook, ...]:
    """Check one hook, or a list or a tuple of hooks, and return a tuple of them.

    No other iterable is iterated, because a Deferred and some iterators never end.

    Raises:
        TypeError: one of them cannot be called with one argument, or is a generator function.
    """
    several = given if isinstance(given, list | tuple) else (given,)
    return tuple(_checked_hook(name, each) for each in several)


def _checked_hook(name: str, function: object) -> Hook:
    check_callable(name, function)
    assert callable(function)
    _check_signature(name, function)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{_must(name)}, but {place_of(function)} is a generator. Decorate it with "
            "@inlineCallbacks, or make it an `async def`."
        )
    return function


def observers_from(given: object) -> tuple[Observer, ...]:
    """Check one observer, or a list or a tuple of observers, and return a tuple of them.

    Raises:
        TypeError: as for `hooks_from`, or an observer is a coroutine function.
    """
    observers = hooks_from("observers", given)
    for observer in observers:
        if inspect.iscoroutinefunction(observer):
            raise TypeError(
                f"observers only watch and are not waited for: {place_of(observer)} is a "
                "coroutine function. Make it a plain function."
            )
    return observers


def hooks_apart(
    observers: object,
) -> tuple[tuple[Hook, ...], tuple[Observer, ...] | None]:
    """Check the observers of an entry point; returns the hooks among them, and the others.

    Args:
        observers: what the user gave; None for the default observer.
    """
    if observers is None:
        return (), None
    given = observers_from(observers)
    hooks = tuple(each for each in given if each in ALSO_OBSERVERS)
    return hooks, tuple(each for each in given if each not in ALSO_OBSERVERS)


def check_only_watches(observers: tuple[Observer, ...]) -> tuple[Observer, ...]:
    """Raise if there is a hook among the observers of a monitor, which has no hooks."""
    for each in observers:
        if each in ALSO_OBSERVERS:
            name = short_name_of(each)
            raise TypeError(
                f"the observers of a monitor receive only the outcome, and {name} needs the "
                f"request. Pass it to an entry point: on_exit={name}."
            )
    return observers


def _check_signature(name: str, function: Callable[..., object]) -> None:
    signature = signature_unless(function, 1)
    if signature is not None:
        raise TypeError(f"{_must(name)}, but {_takes(function, signature)}")


def _takes(function: object, signature: inspect.Signature) -> str:
    if isinstance(function, type):
        name = short_name_of(function)
        return f"{name} is a class. Pass an instance: {name}()."
    if signature.parameters:
        return f"{place_of(function)} takes {signature}"
    return f"{place_of(function)} takes no arguments. Pass `lambda _: function()` instead."


def explain_call(hook: Callable[..., object], error: TypeError) -> None:
    """Replace the message of an error of the call itself, if the hook cannot take the scope.

    An error that was raised inside the hook keeps its message: a decorator may show the signature
    of a function that it calls in another way.
    """
    traceback = error.__traceback__
    is_of_call = traceback is not None and traceback.tb_next is None
    signature = signature_unless(hook, 1)
    if is_of_call and signature is not None:
        error.args = (f"a hook is called with the scope, but {_takes(hook, signature)}",)
