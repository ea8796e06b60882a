"""The program of the how-to on shielding."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from .._docs import SHIELD, run
from .._visits import connect


class Shop:
    """A shop that notes its steps, and ends each when the test says so."""

    def __init__(self) -> None:
        self.steps: dict[str, Deferred[Any]] = {}

    def __getattr__(self, name: str) -> Any:
        """A step of this name, which returns a Deferred for any argument."""

        def step(_: object) -> Deferred[Any]:
            self.steps[name] = Deferred()
            return self.steps[name]

        return step


class ShieldTests(SynchronousTestCase):
    """An order in a shop, and a client that may leave."""

    def setUp(self) -> None:
        """Place an order."""
        self.shop = Shop()
        self.connection = connect(run(SHIELD.read_text())["Order"](self.shop))
        self.connection.request(b"POST")

    def do(self, *names: str) -> None:
        """End these steps."""
        for name in names:
            self.shop.steps[name].callback(None)

    def test_client_that_leaves_early(self) -> None:
        """A client that leaves during the check is not charged."""
        self.connection.disconnect()
        self.assertEqual(list(self.shop.steps), ["check"])

    def test_client_that_leaves_while_paying(self) -> None:
        """A client that leaves while it is charged has its order saved, and gets no mail."""
        self.do("check")
        self.connection.disconnect()
        self.do("charge", "save")
        self.assertEqual(list(self.shop.steps), ["check", "charge", "save"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_client_that_stays(self) -> None:
        """A client that stays is answered while the mail is being sent."""
        self.do("check", "charge", "save")
        self.assertEqual(self.connection.response.body, b"Thank you.\n")
        self.do("send_mail")
        self.assertEqual(self.flushLoggedErrors(), [])
