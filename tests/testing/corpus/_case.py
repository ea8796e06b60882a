"""What an entry of the corpus is, and how the modules of the corpus write one.

What does not belong here: handlers, and the code that sweeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.web.resource import IResource, Resource

from cancelweb import cancel_on_disconnect
from cancelweb.testing import Client, Exchange, Problem


class CasePage(Resource):
    """The resource of most entries: one handler, a clock, and whatever state the entry names."""

    isLeaf = True

    def __init__(self, clock: Clock, handler: Callable[..., Any], state: dict[str, Any]) -> None:
        super().__init__()
        self.clock = clock
        self._handler = handler
        for name, make in state.items():
            setattr(self, name, make())

    def __getattr__(self, name: str) -> Any:
        """Tell type checkers that an entry's state may have any name."""
        raise AttributeError(name)

    def render(self, request: Any) -> Any:
        return self._handler(self, request)

    def sleep(self, seconds: float = 1, value: Any = None) -> Deferred[Any]:
        """A wait on the clock that a cancel ends."""
        return deferLater(self.clock, seconds, lambda: value)


@frozen
class Case:
    """One small handler.

    Attributes:
        name: its name.
        title: what its bug is; or, if it is correct, what might be mistaken for one.
        make: called with the clock; returns a new resource.
        is_bug: whether it has a cancellation bug.
        check: a check function that its author would naturally write, or None.
        hidden: why the kit cannot see the harm without ``check``; empty if it can.
        request: what the client asks for.
        options: further arguments of `sweep`.
        says: the kinds of findings without ``check``.
        source: where this kind of bug, or of code, was seen: an address, or nothing.
    """

    name: str
    title: str
    make: Callable[[Clock], IResource]
    is_bug: bool
    check: Callable[[Any], object] | None = None
    hidden: str = ""
    request: bytes | Callable[[Client], Exchange] = b"/"
    options: dict[str, Any] = field(factory=dict)
    says: frozenset[Problem] = frozenset()
    source: str = ""


def bug(title: str, *, is_plain: bool = False, is_whole: bool = False, **about: Any) -> Any:
    """Decorate a handler that has a bug.

    Args:
        title: what the bug is.
        is_plain: True for a handler of plain Twisted, without cancelweb.
        is_whole: True for a function that is given the clock, and returns a whole resource.
        **about: the attributes of `Case`; and ``state``, a dict of functions that make the
            attributes of the page.

    Returns:
        A decorator, which returns the `Case`.
    """
    return _entry(True, title, is_plain, is_whole, about)


def correct(title: str, *, is_plain: bool = False, is_whole: bool = False, **about: Any) -> Any:
    """Decorate a handler without a bug; see `bug`."""
    return _entry(False, title, is_plain, is_whole, about)


def _entry(
    is_bug: bool, title: str, is_plain: bool, is_whole: bool, about: dict[str, Any]
) -> Callable[[Callable[..., Any]], Case]:
    state = about.pop("state", {})

    def entry(function: Callable[..., Any]) -> Case:
        decorate: Any = (lambda handler: handler) if is_plain else cancel_on_disconnect
        make = function if is_whole else lambda clock: CasePage(clock, decorate(function), state)
        return Case(function.__name__, title, make, is_bug, **about)

    return entry
