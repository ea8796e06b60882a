"""What users pass and what handlers return, as type checkers see it; no logic.

Only mypy with mypy-zope knows which classes provide an interface. For all other checkers, each name
here also stands for the classes that provide it, or for a protocol with its methods.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator, Set
from concurrent.futures import Future
from typing import Any, Protocol, TypeAlias

from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IProcessTransport, IReactorTime
from twisted.internet.task import CooperativeTask, LoopingCall
from twisted.web.iweb import IAgent, IRenderable, IResponse
from twisted.web.resource import IResource
from twisted.web.template import Element, Tag

from .interfaces import ICancellable, IMonitor, MonitoredScope


class CancellableMethods(Protocol):
    """The methods of an `ICancellable`."""

    def cancel(self) -> object:
        """See `ICancellable`."""

    def when_settled(self) -> Deferred[Any]:
        """See `ICancellable`."""


class ResourceMethods(Protocol):
    """The members of an `IResource`."""

    @property
    def isLeaf(self) -> object:
        """See `IResource`."""

    def getChildWithDefault(self, name: Any, request: Any, /) -> Any:
        """See `IResource`."""

    def putChild(self, path: Any, child: Any, /) -> Any:
        """See `IResource`."""

    def render(self, request: Any, /) -> Any:
        """See `IResource`."""


class ClockMethods(Protocol):
    """The methods of an `IReactorTime` that are needed of a clock."""

    def seconds(self) -> float:
        """See `IReactorTime`."""

    def callLater(  # noqa: N802 - Twisted's name
        self, delay: float, callable: Any, /, *args: Any, **kw: Any
    ) -> Any:
        """See `IReactorTime`."""


class MonitorMethods(Protocol):
    """The members of an `IMonitor` that tell one from anything else."""

    is_draining: bool
    is_dry_run: bool

    def scope_opened(self, scope: MonitoredScope, /) -> None:
        """See `IMonitor`."""


class AgentMethods(Protocol):
    """The method of an `IAgent`."""

    def request(self, method: bytes, uri: bytes, headers: Any, bodyProducer: Any, /) -> Any:
        """See `IAgent`."""


class ResponseMethods(Protocol):
    """The method of an `IResponse` that hands over the body."""

    def deliverBody(self, protocol: Any, /) -> Any:
        """See `IResponse`."""


Methods: TypeAlias = (
    list[str] | list[bytes] | list[str | bytes] | tuple[str | bytes, ...] | Set[str | bytes]
)
"""Names of methods. A str alone is none of these, although it is iterable."""

AnyResource: TypeAlias = IResource | ResourceMethods
AnyClock: TypeAlias = IReactorTime | ClockMethods
AnyMonitor: TypeAlias = IMonitor | MonitorMethods
AnyAgent: TypeAlias = IAgent | AgentMethods
AnyResponse: TypeAlias = IResponse | ResponseMethods

Timer: TypeAlias = IDelayedCall | DelayedCall
Own: TypeAlias = ICancellable | CancellableMethods
"""A canceller of a user's own."""

Task: TypeAlias = "CooperativeTask[Any]"  # In older versions of Twisted it is not generic.
Stoppable: TypeAlias = Timer | LoopingCall | Task | IProcessTransport | Own
"""Work that cannot be awaited. It does not say what it comes to."""

Renderable: TypeAlias = IRenderable | Element | Tag
Stream: TypeAlias = Iterator[bytes] | AsyncIterator[bytes]
Later: TypeAlias = Awaitable["Returned | None"] | Future[bytes] | Future[None]

Returned: TypeAlias = bytes | int | Later | Stream | Renderable | Stoppable
"""What a handler may return. The int is `NOT_DONE_YET`, for which Twisted has no other type."""
