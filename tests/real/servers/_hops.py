"""Servers in processes of their own that ask each other, and a database behind the last one.

What belongs here: what `twist cancelweb` is told to serve at each hop, and starting it. What does
not: clients, and what becomes of their requests.
"""

import os
from typing import Any

from twisted.logger import Logger
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from cancelweb import Scope
from cancelweb.database import ConnectionPool

from ..._docs import EXAMPLES
from ..._servers import TWIST_CANCELWEB, Server, launch, reactor

HEADER = "X-Timeout"
DSN = "CANCELWEB_DSN"
STATEMENT = "SELECT pg_sleep(600)"

tell = Logger(namespace="hops").info


class Report(Resource):
    """The page of the last server, which asks the database."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self._pool = ConnectionPool("psycopg", os.environ[DSN], cp_max=1, cp_reactor=reactor)

    async def render_GET(self, request: Request) -> bytes:
        """Ask for what takes ten minutes."""
        return str(await self._pool.runQuery(STATEMENT)).encode()


def hook(scope: Scope) -> None:
    """A cleanup hook that tells the log how much time the request was given, and its cause."""
    request: Any = scope.request
    seconds = request.getHeader(HEADER)
    tell("given {seconds} s: {cause}", seconds=seconds, cause=type(scope.cause).__name__)


async def report(test: TestCase, dsn: str) -> Server:
    """Start the server with the database, for the length of a test."""
    return await _launch(test, "tests.real.servers._hops.Report", {DSN: dsn})


async def gateway(test: TestCase, behind: int) -> Server:
    """Start the gateway of the examples in front of this port, for the length of a test."""
    return await _launch(test, "gateway.root", {"UPSTREAM_PORT": str(behind)})


async def gateways(test: TestCase, behind: int) -> Server:
    """Start two gateways, one in front of the other."""
    return await gateway(test, (await gateway(test, behind)).port)


async def _launch(test: TestCase, name: str, settings: dict[str, str]) -> Server:
    options = (f"--class={name}", f"--timeout-header={HEADER}", "--timeout-status=504")
    hooks = "--on-cancel=tests.real.servers._hops.hook"
    path = f"{EXAMPLES}:{os.environ.get('PYTHONPATH', '')}"
    env = {**os.environ, **settings, "PYTHONPATH": path}
    _, server = await launch(test, (*TWIST_CANCELWEB, *options, hooks), env=env)
    return server
