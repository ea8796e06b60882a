"""For your own tests: a client in memory that can leave, and a sweep that leaves everywhere.

Re-exports the public names; no logic.
"""

from ._assertions import assert_no_leaks, assert_not_cancelled, assert_stopped
from ._client import Client
from ._connection import Connection
from ._exchange import Exchange
from ._lines import Line
from ._report import Finding, Point, Problem, Report, SweepFailed
from ._responses import Response
from ._sweep import sweep

__all__ = [
    "Client",
    "Connection",
    "Exchange",
    "Finding",
    "Line",
    "Point",
    "Problem",
    "Report",
    "Response",
    "SweepFailed",
    "assert_no_leaks",
    "assert_not_cancelled",
    "assert_stopped",
    "sweep",
]
