"""Leaves the sockets that a supervisor has handed down, which outlive this process.

`service` has the stop of which this is the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from twisted.application.service import IService
from twisted.internet.defer import maybeDeferred

from .._http.pages import make_last


@frozen
class HandedDown:
    """What listens on sockets that were handed down.

    Attributes:
        services: the services that listen on them.
        site: the Site that they serve.
    """

    services: Sequence[IService]
    site: Any

    async def leave(self) -> None:
        """Accept no more clients, and have those that are connected connect anew after an answer.

        Clients that wait to be accepted are left to the other processes, or to the next one: the
        queue is the socket's, and closing a descriptor of it resets none of them.
        """
        if not self.services:
            return
        self._make_answers_last()
        for each in self.services:
            await maybeDeferred(each.disownServiceParent)

    def _make_answers_last(self) -> None:
        resource_for = self.site.getResourceFor

        def last_resource_for(request: Any) -> object:
            make_last(request)
            return resource_for(request)

        self.site.getResourceFor = last_resource_for
