"""The contenders that run on asyncio, and how they are served.

Each as its own documentation has it, access logs off.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import uvicorn
from aiohttp import web
from control import KEEP_ALIVE, STDIN, Control
from handlers import BODY
from ledger import SOON, Books, Ledger
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class Work:
    """The work: a timer that ends soon, or something that does not come."""

    def __init__(self, ledger: Ledger, delay: float | None) -> None:
        self.ledger, self.delay = ledger, delay

    async def __call__(self) -> bytes:
        self.ledger.begin()
        try:
            await self._wait()
        except asyncio.CancelledError:
            self.ledger.cancel()
            raise
        self.ledger.complete()
        return BODY

    async def _wait(self) -> None:
        if self.delay is None:
            await asyncio.get_running_loop().create_future()
        else:
            await asyncio.sleep(self.delay)


def serve(name: str, books: Books, listening: socket.socket, control: Control) -> None:
    """Serve until the process ends."""
    soon, never = Work(books.soon, SOON), Work(books.never, None)
    if name == "aiohttp":
        asyncio.run(aiohttp_serve(soon, never, listening, control))
    else:
        starlette_serve(soon, never, listening, control)


def obey(control: Control) -> None:
    """Have the commands read."""
    loop = asyncio.get_running_loop()
    control.later = loop.call_later
    loop.add_reader(STDIN, control.read)


# --- aiohttp ---


async def aiohttp_serve(
    soon: Work, never: Work, listening: socket.socket, control: Control
) -> None:
    """A runner that cancels handlers."""
    obey(control)
    app = web.Application()
    app.add_routes([web.get("/soon", aiohttp_page(soon)), web.get("/never", aiohttp_page(never))])
    runner = web.AppRunner(
        app, handler_cancellation=True, access_log=None, keepalive_timeout=KEEP_ALIVE
    )
    await runner.setup()
    await web.SockSite(runner, listening, backlog=1024).start()
    await asyncio.get_running_loop().create_future()


def aiohttp_page(work: Work) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler; it need not do anything about disconnects."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(body=await work())

    return page


# --- Starlette ---


def starlette_serve(soon: Work, never: Work, listening: socket.socket, control: Control) -> None:
    """Uvicorn, with the fastest event loop and parser that are installed."""

    async def start() -> None:
        obey(control)
        await server.serve(sockets=[listening])

    routes = [Route("/soon", starlette_page(soon)), Route("/never", starlette_page(never))]
    config = uvicorn.Config(
        Starlette(routes=routes),
        access_log=False,
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE,
    )
    server = uvicorn.Server(config)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(start())


def starlette_page(work: Work) -> Callable[[Request], Awaitable[Response]]:
    """A handler with a watcher: nobody else would cancel it."""

    async def page(request: Request) -> Response:
        task = asyncio.ensure_future(work())
        watcher = asyncio.ensure_future(watch(request, task))
        try:
            return Response(await task)
        except asyncio.CancelledError:
            return Response(status_code=499)
        finally:
            watcher.cancel()

    return page


async def watch(request: Request, task: asyncio.Future[bytes]) -> None:
    """Cancel the task when the client leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    task.cancel()
