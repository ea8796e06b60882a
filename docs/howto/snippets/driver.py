import oracledb
from twisted.python.components import registerAdapter
from zope.interface import implementer

from cancelweb.database import IInterruptible


@implementer(IInterruptible)
class Oracle:
    def __init__(self, connection):
        self._connection = connection

    def interrupt(self):
        self._connection.cancel()

    def is_interruption(self, error):
        return isinstance(error, oracledb.Error) and error.args[0].full_code == "ORA-01013"


registerAdapter(Oracle, oracledb.Connection, IInterruptible)
