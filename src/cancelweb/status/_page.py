"""The status page as HTML: `Status` and `History` poured into ``page.xml``.

All text goes through `twisted.web.template`, which escapes it. The page has no inline script and no
inline style.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twisted.web.iweb import IRequest
from twisted.web.template import Element, Tag, renderer, tags

from ._assets import template
from ._facts import NOT_CANCELLED, Status
from ._history import HEIGHT, SECONDS, History, Point
from ._in_flight import Group, InFlight, not_shown
from ._rankings import Ranking, rankings
from ._words import UNKNOWN_PLACE, duration, handler_of, mark_of, number, several, span

DOCTYPE = b"<!DOCTYPE html>\n"


def path_of(runs: list[list[Point]]) -> str:
    """Lines as the ``d`` of an SVG path."""
    return " ".join("M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in run) for run in runs)


def filled(runs: list[list[Point]]) -> list[list[Point]]:
    """Lines made into areas above the lower edge."""
    return [[(run[0][0], HEIGHT), *run, (run[-1][0], HEIGHT)] for run in runs]


class Page(Element):
    """The whole page at one moment.

    Args:
        status: the facts.
        history: the samples for the charts.
        now: when the last sample was noted.
    """

    loader = template("page.xml")

    def __init__(self, status: Status, history: History, now: float) -> None:
        super().__init__()
        self._status, self._history, self._now = status, history, now

    @renderer
    def numbers(self, request: IRequest | None, tag: Tag) -> Tag:
        """The numbers at the top."""
        status = self._status
        names = ["in_flight", "survivors", "let_go", "detached", "opened", "cancelled", "saved"]
        numbers = {name: number(getattr(status, name)) for name in names}
        return tag.fillSlots(abandoned=number(status.since_start.abandoned), **numbers)

    @renderer
    def dry_run(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """Says that nothing is cancelled, if that is so."""
        return tag if self._status.is_dry_run else ""

    @renderer
    def draining(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """Says that the server is shutting down, if it is."""
        return tag if self._status.is_draining else ""

    @renderer
    def charts(self, request: IRequest | None, tag: Tag) -> Iterator[Tag]:
        """A chart for each number that is sampled."""
        for title, line in [
            ("Requests in flight", self._history.in_flight()),
            ("Cancelled per second", self._history.cancelled()),
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
    def groups(self, request: IRequest | None, tag: Tag) -> Iterator[Tag]:
        """A row for each group of requests."""
        for group in self._status.groups:
            oldest = group.requests[0]
            yield tag.clone().fillSlots(
                id=group.id,
                method=oldest.method,
                path=oldest.path,
                paths=_other_paths(group.paths),
                mark=mark_of(oldest),
                waits_at=oldest.waits_at or UNKNOWN_PLACE,
                handler=handler_of(oldest),
                members=_members(group),
                count=number(group.count),
                age=duration(oldest.age),
                remaining=_deadline(oldest),
            )

    @renderer
    def no_groups(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """A row that stands in for the others if there are none."""
        return _none(tag, self._status.groups)

    @renderer
    def more_requests(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """Says how many requests are in no row."""
        count = not_shown(self._status.groups, self._status.in_flight)
        return _more(tag, count, "more request", "more requests")

    @renderer
    def recent_length(self, request: IRequest | None, tag: Tag) -> Tag:
        """Says which requests the lists are about."""
        recent = self._status.recent
        return tag.fillSlots(
            requests=several(recent.requests, "request", "requests"), length=span(recent.length)
        )

    @renderer
    def recent(self, request: IRequest | None, tag: Tag) -> list[Ranking]:
        """The lists for the last minutes."""
        return rankings(self._status.recent, "recent")

    @renderer
    def since_start(self, request: IRequest | None, tag: Tag) -> list[Ranking]:
        """The lists since the start."""
        return rankings(self._status.since_start, "all")

    @renderer
    def survivors(self, request: IRequest | None, tag: Tag) -> Iterator[Tag]:
        """A row for each place at which work survives."""
        for each in self._status.surviving:
            yield tag.clone().fillSlots(
                method=each.method,
                path=each.path,
                paths=_other_paths(each.paths),
                cause=each.cause or "",
                stack="\n".join(each.stack),
                count=number(each.count),
                age=duration(each.age),
            )

    @renderer
    def no_survivors(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """A row that stands in for the others if there are none."""
        return _none(tag, self._status.surviving)

    @renderer
    def more_survivors(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """Says how many survivors are in no row."""
        count = self._status.survivors - sum(each.count for each in self._status.surviving)
        return _more(tag, count, "more survivor", "more survivors")

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
        """A row that stands in for the others if there are none."""
        return _none(tag, self._status.let_go_at)

    @renderer
    def detached(self, request: IRequest | None, tag: Tag) -> Iterator[Tag]:
        """A row for each place at which detached work waits."""
        for each in self._status.detached_work:
            yield tag.clone().fillSlots(
                what=each.what,
                where=each.where,
                detached_at=f"detached at {each.detached_at}",
                count=number(each.count),
            )

    @renderer
    def no_detached(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """A row that stands in for the others if there are none."""
        return _none(tag, self._status.detached_work)

    @renderer
    def totals(self, request: IRequest | None, tag: Tag) -> Iterator[Tag]:
        """A row for each way in which requests have ended, then those of dry runs."""
        for each in self._status.totals:
            cause = "not cancelled" if each.cause == NOT_CANCELLED else each.cause
            ended = each.ended.replace("_", " ")
            yield tag.clone().fillSlots(cause=cause, ended=ended, count=number(each.count))
        for cause, count in self._status.would_have_cancelled.items():
            ended = "would have been cancelled"
            yield tag.clone().fillSlots(cause=cause, ended=ended, count=number(count))

    @renderer
    def no_totals(self, request: IRequest | None, tag: Tag) -> Tag | str:
        """A row that stands in for the others if there are none."""
        return _none(tag, self._status.totals)


def _none(tag: Tag, rows: Sequence[object]) -> Tag | str:
    return "" if rows else tag


def _more(tag: Tag, count: int, one: str, many: str) -> Tag | str:
    return tag.fillSlots(count=several(count, one, many)) if count else ""


def _other_paths(paths: int) -> str:
    return "" if paths == 1 else f"and {several(paths - 1, 'other path', 'other paths')}"


def _deadline(request: InFlight) -> str:
    return "none" if request.remaining is None else f"in {duration(request.remaining)}"


def _members(group: Group) -> Tag | str:
    """The oldest requests of a group one by one, for readers who ask for them."""
    if group.count == 1:
        return ""
    shown = len(group.requests)
    words = f"Show all {shown}" if shown == group.count else f"Show the {shown} oldest"
    rows = [_member(each) for each in group.requests]
    return tags.details(tags.summary(words), tags.ol(*rows), id=f"{group.id}-oldest")


def _member(request: InFlight) -> Tag:
    limit = "" if request.remaining is None else f", deadline {_deadline(request)}"
    sent = tags.code(f"{request.method}\xa0{request.path}", class_="sent")
    return tags.li(sent, tags.span(f"{duration(request.age)}{limit}", class_="quiet"))
