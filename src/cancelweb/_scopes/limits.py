"""The time limits (deadlines) of a scope, from its entry points and its handler, with one timer.

A write costs nothing. When the timer fires, each limit checks what has changed since its last
check. If nothing has, the scope is cancelled with `TimedOut`. `_http.answering` then answers the
client, or breaks off a response that has begun.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall

from .._checks import check_limit
from ..causes import TimedOut
from .limit_kinds import KINDS, Timeout, Total
from .options import Options
from .parts import Subject
from .states import RUNNING


class Limits:
    """The limits of one scope while it is RUNNING; afterwards they drop it.

    The innermost ``timeout`` and ``stall_timeout`` count, and the soonest ``total_timeout``.
    """

    def __init__(self, scope: Subject) -> None:
        self._scope: Subject | None = scope
        self._clock = scope.clock
        self._timer: IDelayedCall | None = None
        # The limits are made from these only when they are needed; most requests end before that.
        self._outermost: Options | None = None
        self._since = 0.0
        self._made: dict[str, Total] | None = None
        self._was_over_at: float | None = None

    def take_on(self, options: Options) -> None:
        """See `parts.Limits`."""
        scope = self._scope
        assert scope is not None, "none holds in a scope that is not RUNNING"
        now = scope.clock.seconds()
        if self._timer is None and self._made is None and options.soonest is not None:
            self._outermost, self._since = options, now
            # `_look` receives the due time, because the clock may show a little less by then.
            due = now + options.soonest
            self._timer = self._clock.callLater(options.soonest, self._look, due)
        else:
            self._add(scope, options, now)
        if options.timeout_header is not None:
            self._ask_client(scope, options.timeout_header, now)

    def _add(self, scope: Subject, options: Options, now: float) -> None:
        limits = self._limits
        if scope.clock is not self._clock:
            # Time that has passed on the former clock counts on the new one.
            shift = now - self._clock.seconds()
            for limit in limits.values():
                limit.at += shift
            self._stop_timer()
            self._clock = scope.clock
        _put(limits, options, now)
        self._set_timer(now)

    def _ask_client(self, scope: Subject, header: str, now: float) -> None:
        seconds = scope.gauge.seconds_asked(scope.request, header)
        if seconds is not None:
            _cap(self._limits, Total(header, seconds, now))
            self._set_timer(now)

    def set_timeout(self, seconds: float | None) -> None:
        """Replace ``timeout``, counting from now; None removes it."""
        now = self._clock.seconds()
        if seconds is None:
            self._limits.pop("timeout", None)
        else:
            self._limits["timeout"] = Timeout("timeout", seconds, now)
        self._set_timer(now)

    @property
    def _limits(self) -> dict[str, Total]:
        """The limits by the names of their options; made on demand."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def _make(self) -> dict[str, Total]:
        limits: dict[str, Total] = {}
        if self._outermost is not None:
            _put(limits, self._outermost, self._since)
        return limits

    # --- the timer ---

    def _set_timer(self, now: float) -> None:
        self._stop_timer()
        if self._limits:
            due = min([limit.at for limit in self._limits.values()])
            self._timer = self._clock.callLater(max(0.0, due - now), self._look, due)

    def _look(self, due: float) -> None:
        self._timer, scope = None, self._scope
        assert scope is not None, "the timer is stopped with the limits"
        # This may find that the request is over, and then stops all limits.
        scope.catch_up(is_reported_by_now=True)
        if self._scope is None:
            return
        now = max(due, self._clock.seconds())
        for limit in self._limits.values():
            limit.update(scope.gauge, scope.request, now)
        over = [self._limits[each] for each in KINDS if each in self._limits]
        over = [limit for limit in over if limit.at <= now]
        if over:
            self._was_over_at = over[0].at
            scope.life.expired(TimedOut(over[0].seconds, over[0].name))
        else:
            self._set_timer(now)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def stop(self) -> None:
        """Stop all limits, because the scope leaves RUNNING; idempotent."""
        self._scope = None
        if self._timer is not None:
            self._stop_timer()

    def deadline(self, has_begun: bool) -> float | None:
        """When the limits cancel the scope, if nothing is written until then; or when they did.

        Any thread may call this, so it stores nothing.

        Args:
            has_begun: whether the response has begun, so that only ``total_timeout`` counts.
        """
        if self._was_over_at is not None:
            return self._was_over_at
        made = self._made
        limits = self._make() if made is None else made
        options = ("total_timeout",) if has_begun else ("total_timeout", "timeout")
        held = [limits.get(option) for option in options]
        return min([limit.at for limit in held if limit is not None], default=None)


def _put(limits: dict[str, Total], options: Options, now: float) -> None:
    """Add the limits of an entry point that is reached now."""
    for option, seconds in options.limits:
        if seconds is None:
            limits.pop(option, None)
        elif option == "total_timeout":
            _cap(limits, Total(option, seconds, now))
        else:
            limits[option] = KINDS[option](option, seconds, now)


def _cap(limits: dict[str, Total], total: Total) -> None:
    former = limits.get("total_timeout")
    if former is None or total.at < former.at:
        limits["total_timeout"] = total


def set_timeout(scope: Subject, seconds: float | None) -> None:
    """See `Scope.limit`."""
    if seconds is not None:
        check_limit("seconds", seconds)
    if scope.state is RUNNING:
        # The scope needs a life, which stops the limits at the end of the scope.
        scope.limits, _ = scope.limits or Limits(scope), scope.life
        scope.limits.set_timeout(seconds)


def deadline_of(scope: Subject) -> float | None:
    """See `Scope.deadline`."""
    limits, request = scope.limits, scope.request
    if limits is None or scope.options.dry_run or not scope.is_interruptible:
        return None
    # This may run in another thread than the reactor's, while the scope closes and drops `request`.
    return limits.deadline(request is None or scope.gauge.has_begun(request))


def remaining_of(scope: Subject) -> float | None:
    """See `Scope.remaining`."""
    deadline = deadline_of(scope)
    return None if deadline is None else max(0.0, deadline - scope.clock.seconds())
