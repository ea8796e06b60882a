"""The program of the how-to on shielding does what is said of it."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from .._visits import connect
from ._docs import SHIELD, run


class Shop:
    """A shop that notes what it is asked for, and does it when the test says so."""

    def __init__(self) -> None:
        self.steps: dict[str, Deferred[Any]] = {}

    def __getattr__(self, name: str) -> Any:
        """Each step is a Deferred; called with whatever."""

        def step(_: object) -> Deferred[Any]:
            self.steps[name] = Deferred()
            return self.steps[name]

        return step


class ShieldTests(SynchronousTestCase):
    """An order, and a client who may leave."""

    def setUp(self) -> None:
        """Place an order."""
        self.shop = Shop()
        self.client = connect(run(SHIELD.read_text())["Order"](self.shop))
        self.client.request(b"POST")

    def do(self, *names: str) -> None:
        """Do these steps."""
        for name in names:
            self.shop.steps[name].callback(None)

    def test_who_leaves_early(self) -> None:
        """Who leaves during the check is not charged."""
        self.client.disconnect()
        self.assertEqual(list(self.shop.steps), ["check"])

    def test_who_leaves_while_paying(self) -> None:
        """Who leaves while he is charged has his order saved, but gets no mail."""
        self.do("check")
        self.client.disconnect()
        self.do("charge", "save")
        self.assertEqual(list(self.shop.steps), ["check", "charge", "save"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_who_stays(self) -> None:
        """Who stays is answered while the mail is still on its way."""
        self.do("check", "charge", "save")
        self.assertEqual(self.client.response.body, b"Thank you.\n")
        self.do("send_mail")
        self.assertEqual(self.flushLoggedErrors(), [])
