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
        """Wait."""
        return self.begin()


def flattening(begin: Begin, request: Request) -> Deferred[bytes]:
    """A handler that flattens its page by itself."""
    return flattenString(request, Page(begin))


class OwnCancelOfATemplateIsNoErrorTests(OwnCancelTestCase):
    """A Deferred in a template keeps the failure of which the template awaits a copy."""

    def test_flatten_string(self) -> None:
        """It is no error in a handler that flattens by itself, and returns or awaits that."""
        self.assert_quiet(lambda request: flattenString(request, Page(wait)))
        self.assert_quiet(lambda request: awaited(lambda: flattenString(request, Page(wait))))

    def test_flatten(self) -> None:
        """Nor in one that writes the page piece by piece."""
        self.assert_quiet(lambda request: flatten(request, Page(wait), request.write))

    def test_returned(self) -> None:
        """Nor in one that returns the template."""
        self.assert_quiet(lambda _: Page(wait))

    def test_tracked(self) -> None:
        """Nor where the page is tracked."""

        def handler(request: Request) -> int:
            current_scope().track(flattenString(request, Page(wait)))
            return NOT_DONE_YET

        self.assert_quiet(handler)

    def test_what_is_in_it(self) -> None:
        """Whatever waits in the template: lists, races, coroutines, chains, other templates."""
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
        """And wherever the templates are."""
        self.assert_quiet(
            lambda request: gatherResults([flattenString(request, Page(both)) for _ in range(2)])
        )

    def test_what_takes_its_time(self) -> None:
        """The page ends when the work in it has, and not before: it is no error twice fired."""
        slow = self.slowly
        self.assert_quiet(lambda _: Page(lambda: Deferred.fromCoroutine(slow())), 1)
        self.assertEqual(self.outcome().stopped, 1)

    def test_a_real_error(self) -> None:
        """What the work in it really fails with is logged."""
        self.assertEqual(self.leave(lambda _: Page(breaking)), Ended.FAILED)
        self.outcomes.clear()
        self.assertEqual(len(self.flushLoggedErrors(FlattenerError)), 1)
        # The Deferred in the template is collected now, and its own failure told by Twisted.
        gc.collect()
        self.logged_error(KeyError)
