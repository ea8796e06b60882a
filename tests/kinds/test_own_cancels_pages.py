"""What our own cancel leaves behind in templates that wait: no error for the log.

What belongs here: handlers that return or flatten a template. What does not: lists and races that
are in none (`test_own_cancels`).
"""

import gc
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, race, succeed
from twisted.web.error import FlattenerError
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.template import Element, TagLoader, flatten, flattenString, renderer, tags

from cancelweb import Ended, current_scope

from ._own_cancels import Begin, OwnCancelTestCase, awaited, both, breaking, wait


class Page(Element):
    """A template with two places that wait."""

    loader = TagLoader(tags.p(tags.b(render="slow"), tags.i(render="slow")))

    def __init__(self, begin: Begin) -> None:
        super().__init__()
        self.begin = begin

    @renderer
    def slow(self, request: Request, tag: object) -> Any:
        """Begin work, and wait for it."""
        return self.begin()


def flattening(begin: Begin, request: Request) -> Deferred[bytes]:
    """A handler that flattens its template by itself."""
    return flattenString(request, Page(begin))


class OwnCancelOfATemplateIsNoErrorTests(OwnCancelTestCase):
    """A Deferred in a template keeps its failure, and the template awaits a copy of it."""

    def test_flatten_string(self) -> None:
        """The cancel of a template in `flattenString`, returned or awaited, logs no error."""
        self.assert_quiet(lambda request: flattenString(request, Page(wait)))
        self.assert_quiet(lambda request: awaited(lambda: flattenString(request, Page(wait))))

    def test_flatten(self) -> None:
        """The cancel of a template in `flatten`, which writes it piece by piece, logs no error."""
        self.assert_quiet(lambda request: flatten(request, Page(wait), request.write))

    def test_returned(self) -> None:
        """The cancel of a template that the handler returns logs no error."""
        self.assert_quiet(lambda _: Page(wait))

    def test_tracked(self) -> None:
        """The cancel of a template in a tracked `flattenString` logs no error."""

        def handler(request: Request) -> int:
            current_scope().track(flattenString(request, Page(wait)))
            return NOT_DONE_YET

        self.assert_quiet(handler)

    def test_what_is_in_it(self) -> None:
        """The cancel of a template logs no error, whatever kind of work waits in it."""
        begins: list[Begin] = [
            both,
            lambda: [wait(), both()],
            lambda: race([wait(), both()]),
            lambda: awaited(both),
            lambda: succeed(None).addCallback(lambda _: both()),
            lambda: Page(both),
            lambda: flattenString(None, Page(both)),
        ]
        for begin in begins:
            self.assert_quiet(partial(flattening, begin))

    def test_pages_in_a_list(self) -> None:
        """The cancel of two templates in a list logs no error."""
        self.assert_quiet(
            lambda request: gatherResults([flattenString(request, Page(both)) for _ in range(2)])
        )

    def test_what_takes_its_time(self) -> None:
        """A template ends when the work in it has, and that is not an error for being late."""
        slow = self.slowly
        self.assert_quiet(lambda _: Page(lambda: Deferred.fromCoroutine(slow())), 1)
        self.assertEqual(self.outcome.stopped, 1)

    def test_a_real_error(self) -> None:
        """The real error of work in a cancelled template is logged, and the outcome is FAILED."""
        self.assertEqual(self.leave(lambda _: Page(breaking)), Ended.FAILED)
        self.outcomes.clear()
        self.assertEqual(len(self.flushLoggedErrors(FlattenerError)), 1)
        # The Deferred in the template is collected now, and its own failure told by Twisted.
        gc.collect()
        self.logged_error(KeyError)
