"""For your own tests: a client in memory that can leave, and a sweep that leaves everywhere.

Re-exports the public names. The one that needs an extra is imported when it is used.
"""

from typing import TYPE_CHECKING

from ._assertions import assert_no_leaks, assert_not_cancelled, assert_stopped
from ._client import Client, http2_connection_class
from ._connection import Connection
from ._exchange import Exchange
from ._responses import Response
from ._stream import Stream
from ._sweeping.lines import Line
from ._sweeping.report import Finding, Point, Problem, Report, SweepFailed
from ._sweeping.sweep import sweep

if TYPE_CHECKING:
    from ._http2 import HTTP2Connection

__all__ = [
    "Client",
    "Connection",
    "Exchange",
    "Finding",
    "HTTP2Connection",
    "Line",
    "Point",
    "Problem",
    "Report",
    "Response",
    "Stream",
    "SweepFailed",
    "assert_no_leaks",
    "assert_not_cancelled",
    "assert_stopped",
    "sweep",
]


def __getattr__(name: str) -> object:
    if name == "HTTP2Connection":
        return http2_connection_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
