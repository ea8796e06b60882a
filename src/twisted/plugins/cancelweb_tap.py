"""Tells `twist` and `twistd` of `cancelweb`; found by Twisted, imported by nobody else.

There is no ``__init__`` here or above: Twisted's own ``twisted.plugins`` looks into directories of
this name.
"""

from twisted.application.service import ServiceMaker

CancelWeb = ServiceMaker(
    "cancelweb",
    "cancelweb.tap",
    "Twisted's web server, with the work stopped of clients who leave.",
    "cancelweb",
)
