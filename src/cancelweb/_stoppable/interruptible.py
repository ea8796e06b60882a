"""The interface of what stops a connection's running statement, for our adapters and for users'.

Each database has a module with its own: `sqlite`, `postgresql` and `mysql`.
"""

from __future__ import annotations

from zope.interface import Interface


class IInterruptible(Interface):
    """A connection of a database driver whose running statement can be stopped.

    Register an adapter from the connections of your own driver with
    ``twisted.python.components.registerAdapter(factory, connection_class, IInterruptible)``; the
    factory is called with each new connection, in the thread that uses it.
    """

    def interrupt() -> None:
        """Stop the statement that the connection runs, if any; may block.

        Called in a separate thread while another thread uses the connection. Most drivers have one
        function that allows this. It is called again, after a pause, as long as the other thread
        uses the connection. The interrupt must be over when this method returns: it must not reach
        what the connection is used for next. What this method raises is logged.
        """

    def is_interruption(error: Exception) -> bool:  # noqa: N805 - of an interface
        """Whether the driver raises this error for a statement that was stopped."""
