"""The status page as HTML: `Status` and `History` poured into ``page.xml``.

All text goes through `twisted.web.template`, which escapes it; there is no script in the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

from twisted.web.iweb import IRequest
from twisted.web.template import Element, Tag, XMLString, renderer

from ._facts import NOT_CANCELLED, Status
from ._history import HEIGHT, SECONDS, History, Point

DOCTYPE = b"<!DOCTYPE html>\n"


def asset(name: str) -> bytes:
    """One of the files that lie beside this module."""
    return files(__package__).joinpath(name).read_bytes()


def duration(seconds: float) -> str:
    """Seconds as people say them: ``0.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 4 min``.

    No line breaks between a number and its unit.
    """
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f}\xa0s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}\xa0min {rest}\xa0s" if minutes else f"{rest}\xa0s"
    return f"{minutes // 60}\xa0h {minutes % 60}\xa0min"


def number(value: float) -> str:
    """A number with its thousands apart, and with one digit behind the point if it needs any."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def path_of(runs: list[list[Point]]) -> str:
    """Lines as the ``d`` of an SVG path."""
    return " ".join("M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in run) for run in runs)


def filled(runs: list[list[Point]]) -> list[list[Point]]:
    """Lines made into areas that stand on the lower edge."""
    return [[(run[0][0], HEIGHT), *run, (run[-1][0], HEIGHT)] for run in runs]


class Page(Element):
    """The whole page, as it is at one moment.

    Args:
        now: when the last sample of the history was noted.
    """

    loader = XMLString(asset("page.xml"))

    def __init__(self, status: Status, history: History, now: float) -> None:
        super().__init__()
        self._status, self._history, self._now = status, history, now

    @renderer
    def numbers(self, request: IRequest | None, tag: Tag) -> Tag:
        """The numbers at the top."""
        status = self._status
        names = ["in_flight", "survivors", "let_go", "detached", "opened", "cancelled", "saved"]
        return tag.fillSlots(**{name: number(getattr(status, name)) for name in names})

    @renderer
    def draining(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """Says that the server is shutting down, if it is."""
        return tag if self._status.is_draining else ""

    @renderer
    def charts(self, request: IRequest | None, tag: Tag) -> Iterator[Tag]:
        """How it went over time."""
        for title, line in [
            ("Requests in flight", self._history.in_flight()),
            ("Cancelled in a second", self._history.cancelled()),
        ]:
            runs, most = line.drawn(self._now), f"at most {number(line.most)}"
            yield tag.clone().fillSlots(
                name=title.lower().replace(" ", "-"),
                title=title,
                most=most,
                label=f"{title}, the last {SECONDS // 60} minutes: {most}, now {number(line.now)}",
                box=f"0 0 {SECONDS} {HEIGHT}",
                line=path_of(runs),
                area=path_of(filled(runs)),
            )

    @renderer
    def requests(self, request: IRequest | None, tag: Tag) -> Iterator[Tag]:
        """A row for each of the oldest requests."""
        for each in self._status.oldest:
            yield tag.clone().fillSlots(
                method=each.method,
                path=each.path,
                waits_at=each.waits_at,
                cause="" if each.cause is None else f"Stopping: {each.cause}",
                age=duration(each.age),
                remaining="none" if each.remaining is None else f"in {duration(each.remaining)}",
            )

    @renderer
    def no_requests(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """Stands in the place of the rows where there are none."""
        return "" if self._status.oldest else tag

    @renderer
    def more_requests(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """Says how many requests have no row."""
        return _more(tag, self._status.in_flight - len(self._status.oldest))

    @renderer
    def survivors(self, request: IRequest | None, tag: Tag) -> Iterator[Tag]:
        """A row for each survivor."""
        for each in self._status.surviving:
            yield tag.clone().fillSlots(
                method=each.method,
                path=each.path,
                cause=each.cause or "",
                stack="\n".join(each.stack),
                age=duration(each.age),
            )

    @renderer
    def no_survivors(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """Stands in the place of the rows where there are none."""
        return "" if self._status.surviving else tag

    @renderer
    def more_survivors(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """Says how many survivors have no row."""
        return _more(tag, self._status.survivors - len(self._status.surviving))

    @renderer
    def let_go(self, request: IRequest | None, tag: Tag) -> Iterator[Tag]:
        """A row for each place at which work was let go."""
        for each in self._status.let_go_at:
            yield tag.clone().fillSlots(
                where=each.where,
                count=number(each.count),
                running=number(each.running),
                age="" if each.age is None else duration(each.age),
            )

    @renderer
    def no_let_go(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """Stands in the place of the rows where there are none."""
        return "" if self._status.let_go_at else tag

    @renderer
    def totals(self, request: IRequest | None, tag: Tag) -> Iterator[Tag]:
        """A row for each way in which requests have ended, then those of dry runs."""
        for each in self._status.totals:
            cause = "not cancelled" if each.cause == NOT_CANCELLED else each.cause
            ended = each.ended.replace("_", " ")
            yield tag.clone().fillSlots(cause=cause, ended=ended, count=number(each.count))
        for cause, count in self._status.would_have_cancelled.items():
            ended = "would have been cancelled (dry run)"
            yield tag.clone().fillSlots(cause=cause, ended=ended, count=number(count))

    @renderer
    def no_totals(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """Stands in the place of the rows where there are none."""
        return "" if self._status.totals else tag


def _more(tag: Tag, count: int) -> Tag | str:
    return tag.fillSlots(count=number(count)) if count else ""
