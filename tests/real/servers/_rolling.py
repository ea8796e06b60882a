"""Two instances of `twist cancelweb` behind a proxy, restarted one after the other under load.

What belongs here: the instances, the clients, and what has become of each request. What does not:
the proxies, which `_pairs` has.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import count
from typing import Any

from attrs import Factory, define, field, frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, readBody

from ..._loopback import reserve_port
from ..._servers import LOOPBACK, REPOSITORY, TWIST_CANCELWEB, Log, LoggedProcess, reactor
from ._pairs import Pair, Ports

CLIENTS = 12
PAUSE = 0.05
"""Seconds between an answer and the client's next request."""

BETWEEN = 60
"""How many answers come before the restart of each instance, and after the last."""

GET, POST = b"GET", b"POST"


@define(eq=False)
class Instance:
    """A server that can be restarted on its ports.

    Attributes:
        ports: where it serves.
        logs: those of its processes, the oldest first.
    """

    ports: Ports
    _options: Sequence[str]
    logs: list[Log] = Factory(list)
    _process: LoggedProcess = Factory(LoggedProcess)

    @classmethod
    def begin(cls, test: TestCase, options: Sequence[str]) -> "Instance":
        """Start an instance, which ends with the test."""
        instance = cls(Ports(reserve_port(test), reserve_port(test)), options)
        instance.start()
        test.addCleanup(lambda: instance._process.kill())
        return instance

    def start(self) -> None:
        """Start it."""
        arguments = ["--class=tests.real.servers._rolled.Pages", *self._options]
        for option, port in ("listen", self.ports.site), ("status", self.ports.status):
            arguments.append(f"--{option}=tcp:{port}:interface={LOOPBACK}")
        command = [sys.executable, *TWIST_CANCELWEB, *arguments]
        self._process = process = LoggedProcess()
        self.logs.append(process.log)
        reactor.spawnProcess(process, sys.executable, command, env=None, path=str(REPOSITORY))

    async def listens(self) -> None:
        """Wait until it listens."""
        for port in self.ports.site, self.ports.status:
            await self._process.log.expect(rf"Site starting on {port}")

    async def stop(self) -> None:
        """Stop it as a process manager does, and wait for its end."""
        self._process.signal("TERM")
        await self._process.end()


@frozen
class Answer:
    """What a client got.

    Attributes:
        method: of its request.
        number: of its request.
        status: of the answer; the name of an exception if there was none.
    """

    method: bytes
    number: int
    status: int | str


@define(eq=False)
class Crowd:
    """Clients that ask one page after the other, on connections that they keep."""

    _url: str
    answers: list[Answer] = Factory(list)
    _numbers: Iterator[int] = Factory(lambda: count(1))
    _is_over: bool = False
    _pool: Any = field(init=False)
    _clients: list[Deferred[None]] = Factory(list)

    def start(self) -> None:
        """Have the clients begin."""
        self._pool = HTTPConnectionPool(reactor)
        # A client that repeats requests would hide those that the proxy has lost.
        self._pool.retryAutomatically = False
        self._pool.maxPersistentPerHost = CLIENTS
        agent = Agent(reactor, pool=self._pool)
        self._clients = [Deferred.fromCoroutine(self._ask(agent)) for _ in range(CLIENTS)]

    async def answered(self, number: int) -> None:
        """Wait until the clients have got so many more answers."""
        wanted = len(self.answers) + number
        while len(self.answers) < wanted:
            await deferLater(reactor, 0.01)

    async def end(self) -> None:
        """Have the clients end, and wait for their last answers."""
        self._is_over = True
        await gatherResults(self._clients)
        await self._pool.closeCachedConnections()

    async def _ask(self, agent: Any) -> None:
        while not self._is_over:
            number = next(self._numbers)
            method = POST if number % 4 == 0 else GET
            status = await self._status(agent, method, number)
            self.answers.append(Answer(method, number, status))
            await deferLater(reactor, PAUSE)

    async def _status(self, agent: Any, method: bytes, number: int) -> int | str:
        seconds = 0.1 if number % 5 == 0 else 0
        url = f"{self._url}/{seconds}/{number}".encode()
        body = FileBodyProducer(BytesIO(b"form=1")) if method == POST else None
        try:
            response = await agent.request(method, url, None, body)
            page = await readBody(response)
        except Exception as error:
            return type(error).__name__
        status: int = response.code
        return "cut short" if status == 200 and page != b"page" else status


@frozen
class Report:
    """What became of all requests.

    Attributes:
        answers: what the clients got.
        runs: how often each request was run, by its number.
    """

    answers: Sequence[Answer]
    runs: Counter[int]

    @property
    def lost(self) -> list[Answer]:
        """The answers other than the page."""
        return [each for each in self.answers if each.status != 200]

    def lost_of(self, method: bytes) -> list[Answer]:
        """Those to requests of this method."""
        return [each for each in self.lost if each.method == method]

    @property
    def repeated(self) -> list[Answer]:
        """The answers to requests that were run more than once."""
        return [each for each in self.answers if self.runs[each.number] > 1]


async def roll(
    test: TestCase,
    pair: Pair,
    options: Sequence[str],
    is_back: str | None,
) -> Report:
    """Restart the instances behind a proxy, one after the other, while clients ask.

    Args:
        test: the test.
        pair: the proxy.
        options: those of the instances.
        is_back: a pattern of the line in which the proxy says that an instance is back; the next
            restart waits for it.
    """
    instances = [Instance.begin(test, options) for _ in range(2)]
    for each in instances:
        await each.listens()
    server = await pair.start(test, *[each.ports for each in instances])
    crowd = Crowd(server.url)
    crowd.start()
    for each in instances:
        await crowd.answered(BETWEEN)
        known = server.log.matching(is_back) if is_back else []
        await each.stop()
        each.start()
        await each.listens()
        while is_back and server.log.matching(is_back) == known:
            await deferLater(reactor, 0.01)
    await crowd.answered(BETWEEN)
    await crowd.end()
    lines = [line for each in instances for log in each.logs for line in log.matching(r"ran \d+$")]
    return Report(crowd.answers, Counter(int(line.rpartition(" ")[2]) for line in lines))
