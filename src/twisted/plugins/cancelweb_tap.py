"""Adds the ``cancelweb`` command to `twist` and `twistd`. Twisted finds this file by its place.

Neither this directory nor its parent has an ``__init__``: Twisted's own ``twisted.plugins``
searches directories of this name.
"""

from twisted.application.service import ServiceMaker

CancelWeb = ServiceMaker(
    "cancelweb",
    "cancelweb.tap",
    "Twisted's web server, which stops a request's work when its client leaves.",
    "cancelweb",
)
