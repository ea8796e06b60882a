"""Whatever comes in whatever order, the promises hold: a short run over random histories.

The machine is in `_orders`; `nox -s hammer` runs it for longer.
"""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from ._orders import Orders


class HistoryTests(SynchronousTestCase):
    """Random histories."""

    def test_keep_the_promises(self) -> None:
        """Whatever befalls a request, in whatever order, the promises are kept."""

        class Watched(Orders):
            flush = self.flushLoggedErrors

        run_state_machine_as_test(
            Watched,
            settings=settings(
                max_examples=200,
                stateful_step_count=20,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        Watched.check_remains()
