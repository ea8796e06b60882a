"""The pages that are written with Klein.

They are not in `handlers` because Klein takes long to import, and memory: who serves something else
does without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from handlers import Stage
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.web.server import Request

View = Callable[[Request], object]


def klein_deferred(stage: Stage) -> Any:
    """Klein, whose view returns a Deferred."""
    return root_of({"/page": deferred_view(stage)})


def klein_coroutine(stage: Stage) -> Any:
    """Klein, whose view is a coroutine."""
    return root_of({"/page": coroutine_view(stage)})


def klein_root(name: str, soon: Stage, never: Stage) -> Any:
    """Both pages that `twisted_servers` serves."""
    view = coroutine_view if name == "klein_async" else deferred_view
    return root_of({"/soon": view(soon), "/never": view(never)})


def root_of(views: dict[str, View]) -> Any:
    """The resource at the root of a site with these views."""
    app: Any = Klein()
    for path, view in views.items():
        app.route(path, endpoint=path)(view)
    return app.resource()


def deferred_view(stage: Stage) -> View:
    """A view that returns a Deferred."""

    def view(request: Request) -> Deferred[bytes]:
        return stage.begin()

    return view


def coroutine_view(stage: Stage) -> View:
    """A view that is a coroutine function."""

    async def view(request: Request) -> bytes:
        return await stage.begin()

    return view
