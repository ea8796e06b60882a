"""The public functions, classes and methods of cancelweb, with right arguments for each.

What belongs here: which calls there are, and how to make one. What does not: the wrong values, and
what must happen.
"""

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from enum import Enum
from importlib import import_module
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.threadpool import ThreadPool
from twisted.web.client import Agent
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface.interface import InterfaceClass

import cancelweb
from cancelweb import Disconnected, Draining, Outcome, cancel_on_disconnect, current_scope
from cancelweb.interfaces import IMonitor
from cancelweb.monitor import LetGo, Monitor, Survivor
from cancelweb.processes import ChildDied
from cancelweb.testing import Client, Finding, Line, Point, Report, Response

from .._servers import reactor

PROGRAMS = {"demo", "tap"}
"""Not libraries: their functions are called by programs of ours."""

ENGINES = {"celery", "dask"}
"""Not importable without an engine: `real.engines` passes wrong arguments to these."""

MADE_BY_US = {
    *(LetGo, Survivor, Outcome, Finding, Line, Point, Report, Response),
    *(cancelweb.Scope, ChildDied),
}
"""Users receive instances of these, and make none."""

MODULES = [
    f"cancelweb.{each.name}"
    for each in pkgutil.iter_modules(cancelweb.__path__)
    if not each.name.startswith("_") and each.name not in PROGRAMS | ENGINES
]

LEFT_OUT = {
    # Classes whose instances come from a method of another class.
    *("Body", "Connection", "Exchange", "HTTP2Connection", "Output", "Stream"),
    # Twisted calls these, or checks their arguments.
    *("CancellingResource.getChildWithDefault", "CancellingResource.render"),
    *("ReverseProxyResource.getChild", "ReverseProxyResource.render"),
    *("StatusResource.getChildWithDefault", "StatusResource.render_GET"),
    *("CancellingAgent.request", "CancellingAgent.header_in"),
    *("ConnectionPool.runWithConnection", "ConnectionPool.runInteraction"),
    *("ConnectionPool.interrupt_in_thread", "ConnectionPool.interruptible_of"),
    # adbapi imports the driver.
    "ConnectionPool",
    # The package itself calls these.
    *(f"Monitor.{name}" for name in IMonitor.names()),
    *("Client.watched", "Stream.take_head", "Stream.take_body", "Stream.take_reset"),
    "Stream.end",
    "DetachedWork",
    "Monitor.ends",
    # Child processes would start.
    "defer_to_process",
}
"""What is public by its name, and not called by users with arguments of their own."""


class Page(Resource):
    """A page that waits, and keeps its scope."""

    isLeaf = True
    scope: Any = None

    @cancel_on_disconnect(observers=())
    def render_GET(self, request: object) -> Deferred[bytes]:
        """Wait."""
        self.scope = current_scope()
        return Deferred()


def open_scope() -> Any:
    """A scope whose handler waits."""
    Client(page := Page()).get(b"/")
    return page.scope


def closed_scope() -> Any:
    """A scope whose client has left."""
    exchange = Client(page := Page()).get(b"/")
    exchange.disconnect()
    assert page.scope.request is None
    return page.scope


def outcome_of_a_client_that_left() -> Outcome:
    """The outcome of a request."""
    exchange = Client(Page()).get(b"/")
    exchange.disconnect()
    assert exchange.outcome is not None
    return exchange.outcome


def left(connection: Any) -> Any:
    """A connection whose client has left."""
    connection.disconnect()
    return connection


def uploading() -> Any:
    """A stream whose request has room for a body."""
    return Client(Page()).connect_http2().request(b"GET", headers={b"Content-Length": b"5"})


def drained() -> Monitor:
    """A monitor whose drain is over."""
    monitor = Monitor(Clock())
    monitor.drain(0)
    return monitor


OWNERS: dict[str, tuple[Callable[[], Any], ...]] = {
    "Client": (lambda: Client(Page()),),
    "Connection": (lambda: Client(Page()).connect(), lambda: left(Client(Page()).connect())),
    "Exchange": (lambda: Client(Page()).get(), lambda: left(Client(Page()).get())),
    "HTTP2Connection": (
        lambda: Client(Page()).connect_http2(),
        lambda: left(Client(Page()).connect_http2()),
    ),
    "Monitor": (lambda: Monitor(Clock()), drained),
    "Response": (lambda: Response(200),),
    "Scope": (open_scope, closed_scope),
    "Stream": (lambda: uploading(), lambda: left(uploading())),
}
"""How to make the instances whose methods are called: as good as new, and after their end."""

RIGHT: dict[str, Callable[[], Any]] = {
    "agent": lambda: Agent(MemoryReactorClock()),
    "args": lambda: ["true"],
    "body": lambda: b"",
    "cause": Draining,
    "detail": lambda: "connection refused",
    "server": lambda: "Celery's broker",
    "outcome": outcome_of_a_client_that_left,
    "scope": open_scope,
    "stdin": lambda: b"",
    "request": lambda: open_scope().request,
    "clock": Clock,
    "ContentLost.cause": Disconnected,
    "check": lambda: True,
    "sweep.check": lambda: lambda resource: None,
    "client": lambda: Client(Page()),
    "connection": lambda: Client(Page()).connect(),
    "data": lambda: b"x",
    "dbapiName": lambda: "sqlite3",
    "exchange": lambda: Client(Page()).get(),
    "f": lambda: lambda: None,
    "factory": lambda: Site(Resource()),
    "function": lambda: lambda: None,
    "hook": lambda: lambda scope: None,
    "host": lambda: "localhost",
    "make_resource": lambda: lambda clock: Page(),
    "message": lambda: "refused",
    "method": lambda: b"GET",
    "monitor": lambda: Monitor(Clock()),
    "name": lambda: b"X-Name",
    "number": lambda: 1,
    "observer": lambda: lambda outcome: None,
    "path": lambda: b"/",
    "ReverseProxyResource.path": lambda: b"",
    "port": lambda: 80,
    "reactor": lambda: reactor,
    "registry": CollectorRegistry,
    "release": lambda: lambda resource: None,
    "report": lambda: Report("GET /"),
    "resource": Resource,
    "result": lambda: None,
    "root": Page,
    "seconds": lambda: 5,
    "source": Deferred,
    "threadpool": ThreadPool,
    "work": Deferred,
}
"""Right arguments, by the parameter, or by the call and the parameter."""

Call = tuple[str, Callable[[], Any], str]
"""A call's name, what makes the function, and the parameter to pass a wrong value for."""


def public_modules() -> list[Any]:
    """cancelweb itself, and its public modules."""
    return [cancelweb, *map(import_module, MODULES)]


def functions() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every public function, constructor and method, each with a function that makes it."""
    seen: set[str] = set()
    for module in public_modules():
        for name in getattr(module, "__all__", ()):
            found = getattr(module, name)
            is_callable = inspect.isfunction(found) or inspect.isclass(found)
            is_enum = inspect.isclass(found) and issubclass(found, Enum)
            if name in seen or is_enum or not is_callable or isinstance(found, InterfaceClass):
                continue
            seen.add(name)
            if not (found in MADE_BY_US or name in LEFT_OUT):
                yield name, lambda found=found: found  # type: ignore[misc]
            if inspect.isclass(found):
                yield from _methods(name, found)


def _methods(name: str, kind: type) -> Iterator[tuple[str, Callable[[], Any]]]:
    for method, function in vars(kind).items():
        full = f"{name}.{method}"
        if method.startswith("_") or not inspect.isfunction(function) or full in LEFT_OUT:
            continue
        for make in OWNERS.get(name, ()):
            yield full, lambda make=make, method=method: getattr(make(), method)  # type: ignore[misc]


def calls() -> Iterator[Call]:
    """Every parameter of every public function, constructor and method."""
    for name, make in functions():
        for parameter in named_parameters(make()):
            yield name, make, parameter.name


def named_parameters(function: Any) -> list[inspect.Parameter]:
    """The parameters of a function, without ``*args`` and ``**options``."""
    parameters = inspect.signature(function).parameters.values()
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each for each in parameters if each.kind not in several]


def call(function: Any, name: str, parameter: str | None = None, value: object = None) -> object:
    """Make one call, with right arguments except for this one."""
    args: list[object] = []
    kwargs: dict[str, object] = {}
    for each in named_parameters(function):
        key = each.name
        if key == parameter:
            given = value
        elif each.default is each.empty and each.kind not in (
            each.VAR_POSITIONAL,
            each.VAR_KEYWORD,
        ):
            given = RIGHT[f"{name}.{key}" if f"{name}.{key}" in RIGHT else key]()
        else:
            continue
        if each.kind is each.POSITIONAL_ONLY:
            args.append(given)
        else:
            kwargs[key] = given
    return function(*args, **kwargs)
