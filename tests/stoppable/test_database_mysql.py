"""The connection from which MySQL's statements are killed: opened, kept, and closed.

What belongs here: what needs no server. What does not: statements that are killed, which
`real.databases.test_mariadb` has.
"""

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from cancelweb._stoppable import mysql
from cancelweb._stoppable.mysql import Control


@define(eq=False)
class Connection:
    """A driver's connection that can only be closed, and may fail at that."""

    is_closed: bool = False
    fails: bool = False

    def close(self) -> None:
        """Be closed."""
        self.is_closed = True
        if self.fails:
            raise OSError


class ControlTests(SynchronousTestCase):
    """A second connection to a server."""

    def setUp(self) -> None:
        self.opened: list[Connection] = []
        self.used: list[Connection] = []
        self.control = Control(self.connect)

    def connect(self) -> Connection:
        """Open a connection."""
        self.opened.append(Connection())
        return self.opened[-1]

    def break_off(self, _: object) -> None:
        """Fail at using a connection."""
        raise ConnectionError

    def test_kept(self) -> None:
        """The connection is opened when it is first used, and used again."""
        self.assertEqual(self.opened, [])
        self.control.use(self.used.append)
        self.control.use(self.used.append)
        self.assertEqual(self.used, self.opened * 2)

    def test_idle(self) -> None:
        """After some idle seconds a new connection is made: a firewall may have dropped the old."""
        self.control.use(self.used.append)
        self.patch(mysql, "FRESH", -1)
        self.control.use(self.used.append)
        self.assertEqual(self.used, self.opened)
        self.assertEqual([each.is_closed for each in self.opened], [True, False])

    def test_fails(self) -> None:
        """A connection whose use fails is closed, and the next use opens another."""
        self.assertRaises(ConnectionError, self.control.use, self.break_off)
        self.control.use(self.used.append)
        self.assertEqual([each.is_closed for each in self.opened], [True, False])

    def test_closed(self) -> None:
        """The connection is closed once, even if the driver fails at that."""
        self.control.close()
        self.control.use(self.used.append)
        self.opened[0].fails = True
        self.control.close()
        self.control.close()
        self.assertTrue(self.opened[0].is_closed)
