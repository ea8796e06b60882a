"""Whatever comes in whatever order, the promises hold: a short run over random histories.

The machine is in `_orders`; `nox -s hammer` runs it for longer.
"""

from twisted.trial.unittest import SynchronousTestCase

from ._orders import Orders, run_histories


class HistoryTests(SynchronousTestCase):
    """Random histories."""

    def test_keep_the_promises(self) -> None:
        """Whatever befalls a request, in whatever order, the promises are kept."""

        class Watched(Orders):
            flush = self.flushLoggedErrors

        run_histories(Watched, 200, 20)
