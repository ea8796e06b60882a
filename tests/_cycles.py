"""What must not outlive a request, nor be left to the cycle collector.

What belongs here: looking for it. What does not: requests.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import ref

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from cancelweb import Scope, scope_of


@define(eq=False)
class Memory:
    """Weak references to what must not outlive a request."""

    requests: list["ref[Request]"] = field(factory=list)
    scopes: list["ref[Scope]"] = field(factory=list)

    def note(self, request: Request) -> None:
        """Remember a request and its scope."""
        self.requests.append(ref(request))
        self.scopes.append(ref(scope_of(request)))

    def alive(self) -> list[object]:
        """The noted requests and scopes that still exist, without a run of the cycle collector."""
        found: list[object] = [each() for each in self.requests]
        found += [each() for each in self.scopes]
        return [each for each in found if each is not None]


@contextmanager
def no_cycles(test: SynchronousTestCase) -> Iterator[None]:
    """Insist that what happens inside leaves nothing of ours to the cycle collector.

    Ours are requests, and what belongs to cancelweb or to the tests.
    """
    while gc.collect():
        # What was garbage may have held more of it, of tests before.
        pass
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        ours = [each for each in gc.garbage if _is_ours(each)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    test.assertEqual(ours, [])


def _is_ours(thing: object) -> bool:
    module = getattr(thing, "__module__", None) or type(thing).__module__
    return isinstance(thing, Request) or str(module).split(".")[0] in ("cancelweb", "tests")
