"""Adds the ``cancelweb`` command to `twist` and `twistd`. Twisted finds this file by its place.

Neither this directory nor its parent has an ``__init__``: Twisted's own ``twisted.plugins``
searches directories of this name.
"""

import signal
from typing import Any

from twisted.application.service import ServiceMaker


class InterruptibleServiceMaker(ServiceMaker):
    """Lets a SIGINT end the process at once until the reactor handles it.

    Python would raise KeyboardInterrupt, and loses that wherever it ignores exceptions: in the
    callback of a weak reference, for example, or while an import looks at a module.
    """

    @property
    def options(self) -> Any:
        """See `twisted.application.service.IServiceMaker`. Imports the rest of the package."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        return super().options


CancelWeb = InterruptibleServiceMaker(
    "cancelweb",
    "cancelweb.tap",
    "Twisted's web server, which stops a request's work when its client leaves.",
    "cancelweb",
)
