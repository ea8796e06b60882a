"""Tell load balancers and Kubernetes whether to send requests here, and whether to restart.

A wrapper does not serve these resources in scopes: no monitor counts a probe, and no drain or time
limit answers one.
"""

from __future__ import annotations

from twisted.web.http import SERVICE_UNAVAILABLE
from twisted.web.resource import Resource
from twisted.web.server import Request

from ._http.uncounted import Uncounted
from .monitor import Monitor

__all__ = ["LivenessResource", "ReadinessResource"]


class _Probed(Uncounted, Resource):
    """Answers with one word, which no cache may keep."""

    isLeaf = True

    def _answer(self, request: Request, word: bytes) -> bytes:
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        request.setHeader(b"cache-control", b"no-store")
        body = word + b"\n"
        request.setHeader(b"content-length", b"%d" % len(body))
        # Twisted would drop the body with a line in the log, for each probe.
        return b"" if request.method == b"HEAD" else body


class ReadinessResource(_Probed):
    """Answers 200 while new requests are welcome, and 503 from the call of ``drain`` on.

    Args:
        monitor: the `cancelweb.monitor.Monitor` that is asked.

    Raises:
        TypeError: ``monitor`` is not a monitor.
    """

    def __init__(self, monitor: Monitor) -> None:
        super().__init__()
        if not isinstance(monitor, Monitor):
            raise TypeError(
                f"ReadinessResource takes a cancelweb.monitor.Monitor, not {monitor!r}; pass it "
                "the monitor=... of your CancellingResource"
            )
        self._monitor = monitor

    def render_GET(self, request: Request) -> bytes:
        """See `IResource`."""
        if self._monitor.is_ready:
            return self._answer(request, b"ready")
        request.setResponseCode(SERVICE_UNAVAILABLE)
        return self._answer(request, b"stopping")


class LivenessResource(_Probed):
    """Answers 200 as long as the reactor can answer at all, during a drain, too."""

    def render_GET(self, request: Request) -> bytes:
        """See `IResource`."""
        return self._answer(request, b"alive")
