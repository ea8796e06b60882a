"""The promises hold in every order of events: a short run over random histories.

The machine is in `_orders`; `nox -s hammer` runs it for longer.
"""

from twisted.trial.unittest import SynchronousTestCase

from ._orders import Orders, run_histories


class HistoryTests(SynchronousTestCase):
    """Random histories of one request."""

    def test_keep_the_promises(self) -> None:
        """In random histories of a request, the promises are kept in every order of events."""

        class Watched(Orders):
            flush = self.flushLoggedErrors

        run_histories(Watched, 200, 20)
