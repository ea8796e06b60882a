"""The contenders that are written with Klein; `twisted_servers` serves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from handlers import Stage
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.web.server import Request


def klein_root(name: str, soon: Stage, never: Stage) -> Any:
    """Both pages, as Klein has them."""
    app: Any = Klein()
    for path, stage in (("/soon", soon), ("/never", never)):
        view = klein_coroutine if name == "klein_async" else klein_deferred
        app.route(path, endpoint=path)(view(stage))
    return app.resource()


def klein_deferred(stage: Stage) -> Callable[[Request], object]:
    """A view that returns a Deferred."""

    def view(request: Request) -> Deferred[bytes]:
        return stage.begin()

    return view


def klein_coroutine(stage: Stage) -> Callable[[Request], object]:
    """A view that is a coroutine function."""

    async def view(request: Request) -> bytes:
        return await stage.begin()

    return view
