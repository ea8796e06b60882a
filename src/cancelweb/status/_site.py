"""A Site for pages that are asked for every second, such as the status page."""

from __future__ import annotations

from twisted.web.http import Request
from twisted.web.server import Site


class QuietSite(Site):
    """A ``twisted.web.server.Site`` that writes no access log. Its arguments are those of a Site.

    Serve a `StatusResource` with it, or the resources that a load balancer probes. In a Site that
    has other resources, too, the access log has lines for these requests.
    """

    noisy = False
    """Twisted would log with each start and stop, and under cancelweb's name."""

    def log(self, request: Request) -> None:
        """Write nothing."""
