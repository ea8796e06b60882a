"""What there is at the end of a run of a sweep, and how that differs from another run.

Only data and comparisons; nothing here runs anything.
"""

from __future__ import annotations

from attrs import evolve, frozen

from .._exchange import Exchange
from .._leaks import added
from .report import Problem, Problems


@frozen
class Answer:
    """What a client got."""

    code: str
    body: bytes

    @classmethod
    def to(cls, exchange: Exchange) -> Answer:
        """The answer of an exchange, as far as it has arrived."""
        response = exchange.response
        if response is None:
            return cls("no answer", b"")
        return cls(f"{'' if response.is_complete else 'a part of '}{response.code}", response.body)

    def difference(self, code: str, body: bytes | None) -> str | None:
        """How it differs from what was expected, or None. A body of None stands for any body."""
        if self.code != code:
            return f"got {self.code} instead of {code}"
        if body is not None and self.body != body:
            return f"got {self.code} with {_short(self.body)} instead of {_short(body)}"
        return None


@frozen
class Stock:
    """What there was at the end of a run.

    Attributes:
        answer: what the client of the sweep got, whether it left or stayed.
        answers: what other clients got, by their names.
        calls: the delayed calls that are left.
        files: the temporary files that are left.
        errors: the failures that were logged.
    """

    answer: Answer
    answers: dict[str, Answer]
    calls: list[str]
    files: list[str]
    errors: list[str]

    @property
    def body(self) -> bytes | None:
        """The body that every client got, if all got the same."""
        is_same = all(each == self.answer for each in self.answers.values())
        return self.answer.body if is_same else None

    def problems(self, base: Stock | None, body: bytes | None) -> Problems:
        """What this run left and the undisturbed run did not; of the undisturbed run, its errors.

        Args:
            base: the stock of the undisturbed run; None for that run itself.
            body: what other clients should get, if that is known.
        """
        base = base or evolve(self, errors=[])
        for error in added(self.errors, base.errors):
            yield Problem.ERROR, error
        for call in added(self.calls, base.calls):
            yield Problem.LEFT, f"on the clock: {call}"
        for path in added(self.files, base.files):
            yield Problem.LEFT, f"a temporary file: {path}"
        for name, answer in self.answers.items():
            difference = answer.difference(base.answers[name].code, body)
            if difference is not None:
                yield Problem.OTHERS, f"{name} {difference}"


def _short(body: bytes) -> str:
    return repr(body if len(body) <= 40 else body[:37] + b"...")
