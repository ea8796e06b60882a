"""Stop the kinds of work that users have registered, through their `ICancellable`.

A user's canceller may have optional parts (`ICancellableDetails`). Any part may be faulty.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from .._log import log, printable
from .cancellations import as_deferred
from .cancellers import Canceller, Settled, drop
from .places import signature_of
from .where import named

T = TypeVar("T")


@define(eq=False)
class UserCanceller(Canceller):
    """Passes everything on to a user's canceller, as far as the canceller supports it.

    Attributes:
        work: what was returned or tracked.
        own: its `ICancellable`, which may have any of `ICancellableDetails`; often the work itself.
    """

    work: object
    own: Any
    is_result_lost = True
    _can_tell: bool = field(default=True, init=False, repr=False)
    """False once its ``where()`` has failed, so that the failure is logged only once."""

    def watch(self, settled: Settled) -> None:
        self._when_settled().addBoth(lambda result: drop(settled(result)))

    def _when_settled(self) -> Deferred[Any]:
        try:
            told = self.own.when_settled()
            settled = as_deferred(told)
            if settled is None:
                raise TypeError(
                    f"when_settled() of {self.describe()} must return a Deferred, not {told!r}"
                )
        except BaseException:
            # Nothing will tell when this work ends, so this error becomes its result.
            settled = fail(Failure())
        return settled

    def cancel(self) -> None:
        self._pass_clock_on()
        try:
            self.own.cancel()
        finally:
            self.survivor_after = self._detail(
                "survivor_after", None, _is_patience, "a number of seconds, 0 or more, or None"
            )
            self.is_end_observable = self._detail(
                "is_end_observable", True, _is_flag, "True or False"
            )

    def _pass_clock_on(self) -> None:
        try:
            # An attribute ``clock`` that is not None belongs to the user's class.
            if self.clock is not None and getattr(self.own, "clock", self) is None:
                self.own.clock = self.clock
        except BaseException:
            self._log_fault("clock")

    def _detail(
        self, name: str, default: T, is_valid: Callable[[object], bool], expected: str
    ) -> T:
        try:
            value: T = getattr(self.own, name, default)
            if not is_valid(value):
                raise TypeError(f"{name} of {self.describe()} must be {expected}, not {value!r}")
        except BaseException:
            self._log_fault(name)
            return default
        return value

    def response_over(self) -> None:
        try:
            over = getattr(self.own, "response_over", None)
            if callable(over):
                over()
        except BaseException:
            self._log_fault("response_over()")

    def where(self) -> str:
        try:
            return self._told() or self.describe()
        except BaseException:
            self._can_tell = False
            self._log_fault("where()")
            return self.describe()

    def _told(self) -> str:
        tell = getattr(self.own, "where", None) if self._can_tell else None
        if not callable(tell) or not _needs_nothing(tell):
            return ""
        text = tell()
        if not isinstance(text, str):
            raise TypeError(f"where() of {self.describe()} must return a str, not {text!r}")
        return "\n".join(map(printable, text.splitlines()))

    def describe(self) -> str:
        return named(self.work, self.own)

    def _log_fault(self, part: str) -> None:
        log.failure(
            "{part} of the canceller {canceller} failed", part=part, canceller=self.describe()
        )


def _needs_nothing(function: Callable[..., object]) -> bool:
    """Whether a function takes no arguments. If not, it is another method of the same name."""
    try:
        signature_of(function).bind()
    except (TypeError, ValueError):
        # Some builtins have no signature: ValueError.
        return False
    return True


def _is_patience(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value is None
    return 0 <= value < inf


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)
