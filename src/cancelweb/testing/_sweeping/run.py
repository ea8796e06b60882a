"""One run of a sweep: send the request, leave at one point or at none, and take stock.

`sweep` decides which runs there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen
from twisted.internet.task import Clock

from .._client import Client
from .._clock import OwnersClock, descriptions, logging, owning, step, turn
from .._exchange import Exchange
from .._leaks import added, temporary_files
from .followed import Followed, follow, judge
from .lines import Line, line_of, position_of
from .report import Finding, Point, Problem, Problems
from .stock import Answer, Stock
from .waits import Waits, watching


@frozen
class Plan:
    """What a sweep was told to do; see `sweep`."""

    make_resource: Callable[[Clock], Any]
    ask: Callable[[Client], Exchange]
    check: Callable[[Any], object]
    leave: Callable[[Any], object]
    must_stop: bool
    forced: bool
    max_points: int
    patience: float


@define(eq=False)
class Run:
    """One request, from the start of its server to the end of all that it left behind.

    Attributes:
        target: the number of the point to leave at, or None to stay.
        base: the stock of the run in which the client stayed.
        body: what every client should get, if that is known.
        count: the number of points so far.
        point: where the client left, once it has.
        is_endless: whether the request has not ended although the client stayed.
        findings: the problems.
    """

    plan: Plan
    is_beside: bool
    target: int | None = None
    base: Stock | None = None
    body: bytes | None = None
    count: int = 0
    point: Point | None = None
    is_endless: bool = False
    findings: list[Finding] = field(factory=list)
    stock: Stock = field(init=False)
    client: Client = field(init=False)
    exchange: Exchange = field(init=False)
    _others: dict[str, Exchange] = field(factory=dict)
    _followed: list[Followed] = field(factory=list)
    _waits: Waits = field(init=False)
    _is_asking: bool = True
    _is_leaving: bool = False

    def play(self) -> Run:
        """Do the whole run."""
        clock = OwnersClock()
        self._waits = Waits(self._must_hold)
        with temporary_files() as files, watching(self._waits):
            with owning(True):
                root = self.plan.make_resource(clock)
            self.client = Client(root, clock)
            before = files()
            try:
                self._visit()
                self._judge(root)
                left = added(files(), before)
                calls = self.client.leaks.calls()
                self._visit_again()
                self._take_stock(calls, left)
            finally:
                self.client.leaks.close()
        return self

    # --- the visit ---

    def _visit(self) -> None:
        self.exchange = self._ask()
        if self.is_beside:
            self._others["another client"] = self._ask()
        if self._reach():
            self._leave()
        self._is_asking = False
        self._settle()
        self._hang_up()

    def _ask(self) -> Exchange:
        exchange = self.plan.ask(self.client)
        if not isinstance(exchange, Exchange):
            raise TypeError(
                f"request must return an Exchange, as client.get does, not {exchange!r}"
            )
        return exchange

    def _reach(self) -> bool:
        """Go on to the target point; returns whether there is a point of this number."""
        while self._waits.held or not self.exchange.is_over:
            if not self._waits.held:
                self.count += 1
            if self._waits.held or self.count == self.target:
                return True
            if self.count >= self.plan.max_points or not step(self._clock):
                self.is_endless = self.target is None
                break
        return False

    def _must_hold(self) -> bool:
        if not self.plan.forced or self.is_beside:
            return False
        if self._is_leaving:
            # Code that awaits something now has swallowed the cancellation. Hold it to see it.
            return True
        if not self._is_asking or self._waits.held:
            return False
        self.count += 1
        return self.count == self.target

    def _leave(self) -> None:
        self._followed = follow(self._waits)
        calls = descriptions(self._clock.getDelayedCalls(), self._clock)
        self.point = Point(
            self.count,
            self._clock.seconds(),
            self.lines(),
            tuple(calls),
            is_forced=bool(self._waits.held),
            is_beside=self.is_beside,
        )
        self._is_leaving = True
        logging(self.plan.leave, self.exchange)
        turn(self._clock)
        for each in self._followed:
            each.look_first()
        self._is_leaving = False
        self._waits.release()

    def _settle(self) -> None:
        """Run until all is quiet, as long as the patience lasts."""
        until = self._clock.seconds() + self.plan.patience
        for _ in range(self.plan.max_points):
            self._look()
            if self._is_quiet() or not step(self._clock, until):
                break

    def _look(self) -> None:
        served = self.exchange.served
        has_closed = served is not None and served.has_closed
        for each in self._followed:
            each.look_again()
            if has_closed:
                each.look_last()

    def _is_quiet(self) -> bool:
        is_answered = all(each.is_over for each in (self.exchange, *self._others.values()))
        return (
            (is_answered or self.is_endless)
            and not self.client.leaks.open_scopes()
            and not any(position_of(each) for each in self._waits.found)
        )

    def _hang_up(self) -> None:
        # Close the connections, because an idle one has a timer.
        for each in (self.exchange, *self._others.values()):
            logging(each.disconnect)
        turn(self._clock)

    def _visit_again(self) -> None:
        again = self._others["a later client"] = self._ask()
        for _ in range(2 * self.plan.max_points):
            if again.is_over or not step(self._clock):
                break

    # --- the verdict ---

    def _judge(self, root: Any) -> None:
        if self.point is not None and self.plan.must_stop and not self.is_beside:
            found, let_go = (self._followed, self.exchange.served), self.client.leaks.let_go
            self._note(judge(*found, let_go, self.plan.patience))
        self._note(self._check(root))

    def _take_stock(self, calls: list[str], files: list[str]) -> None:
        answers = {name: Answer.to(each) for name, each in self._others.items()}
        self._hang_up()
        errors = self.client.leaks.errors()
        self.stock = Stock(Answer.to(self.exchange), answers, calls, files, errors)
        self._note(self.stock.problems(self.base, self.body))

    def _check(self, root: Any) -> Problems:
        try:
            self.plan.check(root)
        except AssertionError as error:
            yield Problem.CHECK, str(error)

    def _note(self, problems: Problems) -> None:
        self.findings += [Finding(problem, text, self.point) for problem, text in problems]

    @property
    def _clock(self) -> Clock:
        return self.client.clock

    def lines(self) -> tuple[Line, ...]:
        """The lines at which handlers wait now."""
        lines = (line_of(each) for each in self._waits.found)
        return tuple(dict.fromkeys(each for each in lines if each is not None))
