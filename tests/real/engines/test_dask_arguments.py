"""Wrong arguments of `cancelweb.dask`: what is said about them.

What belongs here: what needs Dask, but no tasks. What does not: a missing Dask, which
`stoppable/test_dask.py` has.
"""

from typing import Any

from distributed import Client, Future
from twisted.trial.unittest import SynchronousTestCase

from cancelweb.dask import Calls, result

from ._dask import DaskTestCase


class ArgumentTests(SynchronousTestCase):
    """What is refused without a cluster."""

    def test_client(self) -> None:
        """Calls need a client, and not the address of a scheduler."""
        wrong: Any = "tcp://localhost:8786"
        with self.assertRaisesRegex(
            TypeError, "client must be a distributed.Client, not 'tcp://localhost:8786'"
        ):
            Calls(wrong)

    def test_future(self) -> None:
        """The wait for a result needs a future of Dask."""
        wrong: Any = "double-1"
        with self.assertRaisesRegex(
            TypeError, "future must be a distributed.Future, not 'double-1'"
        ):
            result(wrong)

    def test_future_without_a_client(self) -> None:
        """A future that belongs to no client is refused, and the error says which to use."""
        with self.assertRaisesRegex(ValueError, "belongs to no client.*client.submit"):
            result(Future("double-1"))


class CallTests(DaskTestCase):
    """What is refused with a cluster."""

    def test_function(self) -> None:
        """A call needs a function, and not its result."""
        wrong: Any = 14
        with self.assertRaisesRegex(TypeError, "function must be .*14"):
            self.calls.run(wrong)
        self.assertIsInstance(self.client, Client)
