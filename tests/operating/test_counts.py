"""How a monitor counts requests by handler and by path, in tables of limited size.

What belongs here: which row a request counts in, and which rows are kept. What does not: how the
status page shows them (`test_status_busiest`).
"""

import gc
from functools import partial
from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from cancelweb import CancellingResource, cancel_on_disconnect
from cancelweb._operating.counts import LONGEST, PERIOD
from cancelweb._operating.tables import MOST, Row, Table
from cancelweb.monitor import Monitor
from cancelweb.testing import Connection

from .._pages import GetPage, NoHead, Page, waiting
from .._visits import connect


class CountsTestCase(SynchronousTestCase):
    """A test with a monitor, and clients of resources that it watches."""

    def setUp(self) -> None:
        self.clock, self.monitor = Clock(), Monitor()

    def visit(self, resource: Any, method: bytes = b"GET", path: bytes = b"/") -> Connection:
        """A client of a wrapped resource."""
        root = CancellingResource(resource, monitor=self.monitor, observers=())
        connection = connect(root, self.clock)
        connection.request(method=method, path=path)
        return connection

    def recent(self) -> Table:
        """What was counted in the last minutes."""
        return self.monitor.counts.recent(self.clock.seconds())


class Report(Resource):
    """A resource with a method for GET, and Twisted's for HEAD."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """Answer."""
        return b"report"


class Bare(Resource):
    """A resource with no more than it inherits."""

    isLeaf = True


class Failing(Bare):
    """A resource that fails if it is asked for a method that it does not have."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("render_"):
            raise ValueError(name)
        raise AttributeError(name)


class HandlersTests(CountsTestCase):
    """The names of handlers, under which requests count."""

    def names(self) -> dict[str, int]:
        """How many requests each handler had."""
        return {str(row.handler): row.requests for row in self.recent().by_handler()}

    def place(self) -> str | None:
        """The file and line of the only handler."""
        (row,) = self.recent().by_handler()
        return row.place

    def place_of(self, function: Any) -> str:
        """The file and line of a function."""
        return f"{__file__}:{function.__code__.co_firstlineno}"

    def test_method_of_a_wrapped_resource(self) -> None:
        """A resource that inherits Twisted's ``render`` counts under the method for the request."""
        self.visit(Report())
        self.assertEqual(self.names(), {"Report.render_GET": 1})
        self.assertEqual(self.place(), self.place_of(Report.render_GET))

    def test_head(self) -> None:
        """A HEAD that Twisted makes of a GET counts under the method for GET."""
        self.visit(Report(), b"HEAD")
        self.visit(NoHead(waiting), b"HEAD").disconnect()
        self.assertEqual(self.names(), {"Report.render_GET": 1, "waiting": 1})

    def test_head_without_get(self) -> None:
        """A HEAD of a resource without a GET counts under ``render``."""
        self.visit(Bare(), b"HEAD")
        self.flushLoggedErrors(AttributeError)
        self.assertEqual(self.names(), {"Bare.render": 1})

    def test_method_that_is_refused(self) -> None:
        """A method that the resource does not have counts under ``render``."""
        self.visit(Report(), b"BREW")
        self.assertEqual(self.names(), {"Report.render": 1})

    def test_attribute_that_fails(self) -> None:
        """A resource whose attributes cannot be read counts under ``render``."""
        self.visit(Failing())
        self.flushLoggedErrors(ValueError)
        self.assertEqual(self.names(), {"Failing.render": 1})

    def test_own_render(self) -> None:
        """A resource with a ``render`` of its own counts under that, whatever the method."""
        for method in b"GET", b"POST":
            self.visit(Page(lambda _: b"page"), method)
        self.assertEqual(self.names(), {"Page.render": 2})

    def test_decorated_handler_inside(self) -> None:
        """A decorated handler inside a wrapped resource counts, not the resource around it."""

        @cancel_on_disconnect
        @inlineCallbacks
        def report(request: Request) -> Any:
            yield Deferred()

        self.visit(GetPage(report)).disconnect()
        self.assertEqual(next(iter(self.names())).rpartition(".")[2], "report")
        self.assertRegex(str(self.place()), rf"^{__file__}:\d+$")

    def test_handlers_without_code(self) -> None:
        """A handler that is not a function counts under its name, or else under its description."""

        class Callable:
            def __call__(self, request: Request) -> bytes:
                return b"page"

            def __repr__(self) -> str:
                return "<a page>"

        handlers: list[Any] = [partial(waiting), Callable()]
        for handler in handlers:
            self.visit(Page(cancel_on_disconnect(handler))).disconnect()
        self.assertEqual(set(self.names()), {"waiting", "<a page>"})
        places = {row.place for row in self.recent().by_handler()}
        self.assertEqual(places, {None})

    def test_handler_that_wraps_itself(self) -> None:
        """A handler that says that it wraps itself has a name, and no place."""

        def handler(request: Request) -> bytes:
            return b"page"

        around = cancel_on_disconnect(handler)
        handler.__wrapped__ = handler  # type: ignore[attr-defined]
        self.visit(Page(around))
        self.assertIsNone(self.place())

    def test_class_method(self) -> None:
        """A class method as a handler has the name of its class."""

        class Pages:
            @classmethod
            def front(cls, request: Request) -> bytes:
                return b"page"

        self.visit(Page(cancel_on_disconnect(Pages.front)))
        (name,) = self.names()
        self.assertTrue(name.endswith("<locals>.Pages.front"), name)

    def test_no_handler(self) -> None:
        """A request that is turned away counts as one without a handler."""
        self.monitor.drain(30)
        self.visit(Report())
        self.assertEqual(self.names(), {"no handler": 1})


class PathsTests(CountsTestCase):
    """The paths under which requests count."""

    def paths(self) -> dict[tuple[bytes, bytes], int]:
        """How many requests each method and path had."""
        return {(row.method, row.path): row.requests for row in self.recent().by_path()}

    def test_are_without_the_query(self) -> None:
        """Requests of one path count together, whatever their queries, but not their methods."""
        for path in b"/a?1", b"/a?2", b"/b":
            self.visit(Report(), path=path)
        self.visit(Report(), b"HEAD", path=b"/a")
        self.assertEqual(
            self.paths(), {(b"GET", b"/a"): 2, (b"GET", b"/b"): 1, (b"HEAD", b"/a"): 1}
        )

    def test_that_are_long_are_cut(self) -> None:
        """Of a long path only the beginning counts."""
        for end in b"a", b"b":
            self.visit(Report(), path=b"/" + b"x" * 16_000 + end)
        (((_, path), count),) = self.paths().items()
        self.assertEqual((len(path), count), (LONGEST, 2))


class AbandonedTests(CountsTestCase):
    """Which requests count as abandoned, and how long requests take."""

    def counted(self) -> tuple[int, int, float]:
        """How many requests there were, how many were abandoned, and how long they took."""
        total = self.recent().total()
        return total.requests, total.abandoned, total.seconds

    def test_a_client_that_leaves(self) -> None:
        """A request whose client leaves is abandoned, and takes time until then."""
        connection = self.visit(Page(waiting))
        self.clock.advance(3)
        connection.disconnect()
        self.assertEqual(self.counted(), (1, 1, 3.0))

    def test_a_client_that_leaves_a_spared_request(self) -> None:
        """A spared request is abandoned, and takes time until its work ends or is cancelled."""
        connection = self.visit(Page(waiting), b"POST")
        connection.disconnect()
        self.clock.advance(3)
        self.assertEqual(self.counted(), (0, 0, 0.0))
        self.monitor.drain(0)
        self.clock.advance(0)
        self.assertEqual(self.counted(), (1, 1, 3.0))

    def test_other_ends(self) -> None:
        """A request that was answered or ran into a limit is not abandoned."""
        self.visit(Report())
        root = CancellingResource(Page(waiting), monitor=self.monitor, timeout=2, observers=())
        connect(root, self.clock).get()
        self.clock.advance(2)
        self.assertEqual(self.counted(), (2, 0, 2.0))


class ForgettingTests(CountsTestCase):
    """What counts do not keep."""

    def test_nothing_of_a_handler_is_held(self) -> None:
        """A handler, and the class of a resource, that are made for one request are not held."""
        made: list[ref[object]] = []

        class Root(Resource):
            def getChild(self, path: bytes, request: Request) -> Resource:
                def handler(_: Request) -> bytes:
                    return request.uri

                class Own(Page):
                    pass

                made.extend([ref(request), ref(handler), ref(Own)])
                return Own(handler if path == b"class" else cancel_on_disconnect(handler))

        for path in b"/class", b"/function":
            self.visit(Root(), path=path)
        # Each class is in cycles of its own.
        gc.collect()
        self.assertEqual(self.recent().total().requests, 2)
        self.assertEqual([each() for each in made], [None] * 6)


class PeriodsTests(CountsTestCase):
    """What is recent, and what is kept since the start."""

    def count_at(self, time: float) -> None:
        """Have a request end at a time."""
        self.clock.rightNow = time
        self.visit(Report())

    def counts(self) -> tuple[int, int]:
        """How many requests are recent, and how many there ever were."""
        since_start = self.monitor.counts.since_start(self.clock.seconds())
        return self.recent().total().requests, since_start.total().requests

    def test_requests_stay_recent_for_a_period(self) -> None:
        """A request is recent for one period at least, and for less than two."""
        self.count_at(0)
        for time, recent in [(PERIOD - 1, 1), (PERIOD, 1), (2 * PERIOD - 1, 1), (2 * PERIOD, 0)]:
            self.clock.rightNow = time
            self.assertEqual(self.counts(), (recent, 1), time)

    def test_steady_requests(self) -> None:
        """With requests all the time, those of the last one or two periods are recent."""
        for index in range(31):
            self.count_at(index * PERIOD / 10)
        self.assertEqual(self.counts(), (11, 31))
        self.count_at(3.9 * PERIOD)
        self.assertEqual(self.counts(), (12, 32))
        self.assertEqual(self.recent().began, 2 * PERIOD)

    def test_a_long_pause(self) -> None:
        """After a long pause nothing is recent, and everything is still counted."""
        self.count_at(0)
        self.count_at(PERIOD)
        self.count_at(10 * PERIOD)
        self.assertEqual(self.counts(), (1, 3))

    def test_clock_that_is_put_back(self) -> None:
        """After a clock was put back, what is counted next is recent."""
        self.count_at(1000)
        self.count_at(10)
        self.assertEqual(self.counts(), (1, 2))
        self.assertEqual(self.recent().began, 10)

    def test_reading_changes_nothing(self) -> None:
        """Reading the counts twice tells the same."""
        self.count_at(0)
        self.count_at(PERIOD)
        self.count_at(2 * PERIOD)
        self.assertEqual([self.counts(), self.counts()], [(2, 3), (2, 3)])


class BoundsTests(CountsTestCase):
    """The size of the tables."""

    def table(self, count: int, handler: str = "handler") -> Table:
        """A table with so many rows of one short request each."""
        table = Table(0)
        for index in range(count):
            path = b"/%d" % index
            row = Row(handler, None, b"GET", path, requests=1, seconds=0.001, longest=0.001)
            table.put((handler, path), row)
        return table

    def test_are_bounded(self) -> None:
        """A table has no more than a number of rows, and loses no request."""
        table = self.table(10_000)
        self.assertLessEqual(len(table.rows), 2 * MOST)
        self.assertEqual(table.total().requests, 10_000)

    def test_rows_that_matter_are_kept(self) -> None:
        """A row with many abandoned requests, and one with much time, outlive a flood of others."""
        for numbers in {"abandoned": 1}, {"seconds": 5.0}:
            table = self.table(MOST)
            table.put(("late",), Row("late", requests=1, **numbers))
            table.add(self.table(10 * MOST))
            self.assertIn(("late",), table.rows)

    def test_handlers_lose_nothing(self) -> None:
        """The requests of rows that were merged still count for their handler."""
        table = self.table(1000)
        (handler,) = table.by_handler()
        self.assertEqual((handler.handler, handler.requests), ("handler", 1000))
        merged = [row for row in table.by_path() if not row.path]
        self.assertEqual([row.requests for row in merged], [1000 - len(table.rows)])

    def test_handlers_are_bounded(self) -> None:
        """Rows that are merged count for a number of handlers, and beyond that for all further."""
        table = Table(0)
        for index in range(10 * MOST):
            table.add(self.table(1, f"handler_{index}"))
        self.assertLessEqual(len(table.rest), MOST + 1)
        self.assertLessEqual(len(table.by_handler()), 3 * MOST + 1)
        self.assertEqual(table.total().requests, 10 * MOST)
        self.assertEqual(table.rest[None].handler, None)

    def test_sums_are_bounded(self) -> None:
        """Tables that are added have no more rows than one, and lose no request."""
        table, other = self.table(500), self.table(500, "other")
        table.add(other)
        self.assertLessEqual(len(table.rows), 2 * MOST)
        self.assertEqual((table.total().requests, other.total().requests), (1000, 500))
        self.assertEqual({row.handler for row in table.by_handler()}, {"handler", "other"})

    def test_rows_of_one_handler_and_path_are_added(self) -> None:
        """Rows of two tables for the same handler and path are added up, with the longest time."""
        table, other = Table(0), Table(0)
        for each, seconds in [(table, 1.0), (other, 3.0)]:
            each.put(("a",), Row("a", requests=1, seconds=seconds, longest=seconds))
        table.add(other)
        other.add(table)
        (row,) = table.by_handler()
        self.assertEqual((row.requests, row.seconds, row.longest), (2, 4.0, 3.0))

    def test_floods_of_paths(self) -> None:
        """Clients that request a new path each time do not make a monitor grow."""
        for index in range(3 * MOST):
            self.visit(Report(), path=b"/%d" % index)
        self.assertLessEqual(len(self.recent().rows), 2 * MOST)
        self.assertEqual(self.recent().total().requests, 3 * MOST)
