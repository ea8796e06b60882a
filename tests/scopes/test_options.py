"""Options are checked when they are given: each wrong one, and what its error says.

What a right option does is for the tests of its subject.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from itertools import repeat
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.task import Clock, LoopingCall
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from cancelweb import CancellingResource, cancel_on_disconnect, log_outcome
from cancelweb.monitor import Monitor

from .._pages import waiting
from .._visits import Visit


async def awaiting(outcome: object) -> None:
    """An observer that wants to wait."""


async def paging(request: object, cause: object) -> bytes:
    """An error page that wants to wait."""
    return b""


def generating(scope: object) -> Iterator[None]:
    """A hook whose author forgot a decorator."""
    yield


OF_BOTH: dict[str, list[tuple[object, type[Exception]]]] = {
    "timeout": [
        ("30", TypeError),
        (True, TypeError),
        (0, ValueError),
        (-1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
    ],
    "timeout_status": [
        ("503", TypeError),
        (503.0, TypeError),
        (True, TypeError),
        (200, ValueError),
        (399, ValueError),
        (600, ValueError),
    ],
    "error_page": [
        (b"page", TypeError),
        (Resource(), TypeError),
        (len, TypeError),
        (lambda request: b"", TypeError),
        (paging, TypeError),
        (lambda request, cause: (yield b""), TypeError),
    ],
    "cleanup_timeout": [("10", TypeError), (0, ValueError)],
    "survivor_after": [("5", TypeError), (0, ValueError)],
    "max_abandoned": [
        ("100", TypeError),
        (True, TypeError),
        (1.0, TypeError),
        (0, ValueError),
        (-1, ValueError),
    ],
    "on_cancel": [
        (None, TypeError),
        (5, TypeError),
        (["hook"], TypeError),
        (lambda: None, TypeError),
        (lambda one, two: None, TypeError),
        ([len, lambda *, scope: None], TypeError),
    ],
    "on_exit": [(None, TypeError), (lambda: None, TypeError), (generating, TypeError)],
    "observers": [(5, TypeError), (lambda: None, TypeError), (awaiting, TypeError)],
    "clock": [(5, TypeError), (Clock, TypeError)],
}
"""Wrong values of the options that both entry points take."""

WORK: list[Callable[[], object]] = [
    Deferred,
    lambda: succeed(None),
    lambda: fail(ValueError()).addErrback(lambda _: None),
    lambda: gatherResults([Deferred()]),
    Future,
    asyncio.Future,
    lambda: LoopingCall(int),
    lambda: [len, Deferred()],
]
"""What may be given in place of a function that returns it; some of it can be iterated."""

OF_RESOURCE: dict[str, list[tuple[object, type[Exception]]]] = {
    "methods": [
        ("GET", TypeError),
        (b"GET", TypeError),
        (Deferred(), TypeError),
        (succeed(None), TypeError),
        (repeat("GET"), TypeError),
        ({"GET": True}, TypeError),
        (5, TypeError),
        ([5], TypeError),
        (["get"], ValueError),
        ([b"G T"], ValueError),
        ([""], ValueError),
        (["GÉT"], ValueError),
    ],
    "monitor": [(5, TypeError), (Monitor, TypeError)],
    "dry_run": [(1, TypeError), ("yes", TypeError), (None, TypeError)],
}

RIGHT: dict[str, list[object]] = {
    "timeout": [None, 1, 0.5],
    "timeout_status": [None, 400, 599],
    "error_page": [None, lambda request, cause: None, max, lambda *both: b""],
    "cleanup_timeout": [None, 0.5],
    "survivor_after": [None, 0.5],
    "max_abandoned": [None, 1],
    "on_cancel": [(), len, [len, repr], (len, repr), dict, lambda scope, more=1: None],
    "on_exit": [(), len],
    "observers": [None, (), print, [print]],
    "clock": [None, Clock()],
}


class BothEntryPointsTests(SynchronousTestCase):
    """The options that the entry points share."""

    def test_each_wrong_one(self) -> None:
        """The entry points raise for each wrong option, with an error that names the option."""
        entry_points: list[Any] = [
            cancel_on_disconnect,
            lambda **o: CancellingResource(Resource(), **o),
        ]
        for entry_point in entry_points:
            for name, wrong_ones in OF_BOTH.items():
                for wrong, error in wrong_ones:
                    with self.assertRaisesRegex(error, rf"^{name} "):
                        entry_point(**{name: wrong})

    def test_each_right_one(self) -> None:
        """The entry points take each right value, such as None or a callable for a list of one."""
        entry_points: list[Any] = [
            cancel_on_disconnect,
            lambda **o: CancellingResource(Resource(), **o),
        ]
        for name, right_ones in RIGHT.items():
            for right in right_ones:
                for entry_point in entry_points:
                    entry_point(**{name: right})

    def test_the_error_shows_what_was_given(self) -> None:
        """The error of a wrong option shows the value, and what to pass instead."""
        wrong: Any = "soon"
        with self.assertRaisesRegex(TypeError, "timeout must be a number of seconds, not 'soon'"):
            cancel_on_disconnect(timeout=wrong)
        with self.assertRaisesRegex(ValueError, "timeout must be more than 0 and finite, not -1"):
            cancel_on_disconnect(timeout=-1)
        with self.assertRaisesRegex(ValueError, "timeout_status must be from 400 to 599, not 302"):
            cancel_on_disconnect(timeout_status=302)

    def test_the_error_shows_the_signature(self) -> None:
        """The error of a hook that does not take one argument shows the hook's signature."""
        wrong: Any = lambda one, two: None  # noqa: E731
        with self.assertRaisesRegex(TypeError, r"on_exit must be .* takes \(one, two\)"):
            cancel_on_disconnect(on_exit=wrong)

    def test_work_in_place_of_a_function(self) -> None:
        """The entry points refuse work, such as a Deferred, in place of a hook or an observer."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        self.addCleanup(asyncio.set_event_loop, None)
        asyncio.set_event_loop(loop)
        entry_points: list[Any] = [
            cancel_on_disconnect,
            lambda **o: CancellingResource(Resource(), **o),
        ]
        for entry_point in entry_points:
            for make in WORK:
                for name in ("on_cancel", "on_exit"):
                    with self.assertRaisesRegex(TypeError, f"^{name} .* `lambda scope: work`.$"):
                        entry_point(**{name: make()})
                with self.assertRaisesRegex(TypeError, "^observers must be functions"):
                    entry_point(observers=make())

    def test_work_that_has_a_hook_itself(self) -> None:
        """A scope refuses work in place of a hook, and a monitor in place of an observer."""

        async def clean() -> None:
            """Never run."""

        scope, add_observer = Visit(waiting).scope, Monitor().add_observer
        for make in (Deferred, clean, partial(LoopingCall, int)):
            for name, add in (("on_cancel", scope.on_cancel), ("on_exit", scope.on_exit)):
                work: Any = make()
                with self.assertRaisesRegex(TypeError, f"^{name} .* `lambda scope: work`.$"):
                    add(work)
                with self.assertRaisesRegex(TypeError, "^observers must be functions"):
                    add_observer(work)
                if make is clean:
                    work.close()

    def test_several_are_a_list_or_a_tuple(self) -> None:
        """No other iterable of hooks or observers is taken, and the error says which are."""
        endless: list[Any] = [repeat(Deferred()), repeat(len)]
        several: list[Any] = [*endless, {len}, {len: 1}, (each for each in [len]), range(3)]
        for given in several:
            for name in ("on_cancel", "on_exit", "observers"):
                options: Any = {name: given}
                with self.assertRaisesRegex(TypeError, f"^{name} must .* pass a list or a tuple.$"):
                    cancel_on_disconnect(**options)

    def test_two_wrong_limits(self) -> None:
        """The error of two wrong limits names the first."""
        wrong: Any = {"timeout": "1", "total_timeout": "2"}
        with self.assertRaisesRegex(TypeError, "^timeout must be a number of seconds, not '1'"):
            cancel_on_disconnect(**wrong)

    def test_a_limit_that_no_float_can_hold(self) -> None:
        """An int that is too large for a float is a ValueError at once."""
        for name in ("timeout", "total_timeout", "stall_timeout", "cleanup_timeout"):
            options: Any = {name: 10**400}
            with self.assertRaisesRegex(ValueError, f"^{name} must be finite, not 1000"):
                cancel_on_disconnect(**options)

    def test_the_default_observer_as_a_hook(self) -> None:
        """Where a hook is expected, the error for `log_outcome` says that it is an observer."""
        hook: Any = log_outcome
        for name in ("on_cancel", "on_exit"):
            with self.assertRaisesRegex(TypeError, f"^{name} .* but log_outcome is an observer"):
                cancel_on_disconnect(**{name: hook})
        with self.assertRaisesRegex(TypeError, "^on_exit .* Pass it in `observers`"):
            Visit(waiting).scope.on_exit(hook)

    def test_a_text_in_place_of_a_function(self) -> None:
        """The error of a dotted name in place of a hook shows the whole name."""
        wrong: Any = "module.hook"
        with self.assertRaisesRegex(TypeError, "on_exit must be a function .*, not 'module.hook'"):
            cancel_on_disconnect(on_exit=wrong)

    def test_annotations_for_type_checkers_alone(self) -> None:
        """The annotations of a hook may have names that only type checkers know."""
        names: dict[str, Any] = {}
        # Without `from __future__ import annotations`, this is for Python 3.14 on.
        future = "" if sys.version_info >= (3, 14) else "from __future__ import annotations\n"
        exec(f"{future}def hook(scope: OnlyForCheckers) -> None: ...", names)
        cancel_on_disconnect(on_exit=names["hook"], observers=names["hook"])

    def test_a_callable_that_hides_its_signature(self) -> None:
        """A builtin that does not tell its signature is taken as a hook."""
        builtin: Any = max
        cancel_on_disconnect(on_exit=builtin)


class ResourceTests(SynchronousTestCase):
    """The options of CancellingResource alone, and what can be wrapped."""

    def test_each_wrong_one(self) -> None:
        """CancellingResource raises for each wrong option, with an error that names the option."""
        wrap: Any = CancellingResource
        for name, wrong_ones in OF_RESOURCE.items():
            for wrong, error in wrong_ones:
                with self.assertRaisesRegex(error, rf"^{name} "):
                    wrap(Resource(), **{name: wrong})

    def test_methods_are_str_or_bytes(self) -> None:
        """CancellingResource takes a list, tuple or set of str or bytes, hyphens included."""
        several: list[Any] = [["GET", b"POST"], {"GET"}, frozenset(), (), ["M-SEARCH"]]
        for methods in several:
            CancellingResource(Resource(), methods=methods)

    def test_wraps_resources_only(self) -> None:
        """Wrapping anything but a resource, even a class of resources, raises a TypeError."""
        wrong_ones: list[Any] = [None, "page", Resource, lambda request: b""]
        for wrong in wrong_ones:
            with self.assertRaisesRegex(TypeError, "CancellingResource wraps a resource, not"):
                CancellingResource(wrong)

    def test_options_are_given_by_name(self) -> None:
        """Giving CancellingResource an option by position raises a TypeError."""
        wrap: Any = CancellingResource
        with self.assertRaises(TypeError):
            wrap(Resource(), 30)
