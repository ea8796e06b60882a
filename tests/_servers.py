"""Real servers for tests: a process of its own, its log, and a client's ways to it.

What belongs here: starting `twist web` and `twistd -n web` on loopback, waiting for
what they log, and the certificate that they show. What does not: clients, which have
modules of their own, and anything that knows what a test wants to prove.

Nothing here sleeps: a test waits for a line of the log or for an answer.
"""

import ipaddress
import os
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from attrs import Factory, define
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory as ClientFactory
from twisted.internet.protocol import ProcessProtocol, Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.python.failure import Failure
from twisted.trial.unittest import FailTest, TestCase

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

_Client = TypeVar("_Client", bound=Protocol)

REPOSITORY = Path(__file__).parents[1]
LOOPBACK = "127.0.0.1"

# A log in text: where it goes to a pipe, `twist` would write JSON.
_TWIST = ("-m", "twisted", "--log-format=text")
# No pid file: two servers may run at once.
_TWISTD = ("-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=")

ALARMING = r"#(warn|error|critical)\]|Traceback"
"""What each line of a log contains that reports trouble."""

TWIST, TWISTD = (*_TWIST, "web"), (*_TWISTD, "web")
TWIST_CANCELWEB, TWISTD_CANCELWEB = (*_TWIST, "cancelweb"), (*_TWISTD, "cancelweb")


@define(eq=False)
class Log:
    """The lines that a process has written so far, and the waits for its next ones."""

    lines: list[str] = Factory(list)
    _waiting: list[tuple[re.Pattern[str], Deferred[str]]] = Factory(list)

    def add(self, line: str) -> None:
        """Note a line, and tell the waits for it."""
        self.lines.append(line)
        for pattern, waiting in list(self._waiting):
            if pattern.search(line):
                waiting.callback(line)

    def matching(self, pattern: str) -> list[str]:
        """All lines until now that the pattern matches."""
        return [line for line in self.lines if re.search(pattern, line)]

    def expect(self, pattern: str, within: float | None = 20) -> Deferred[str]:
        """Wait for a line, written before or still to come.

        Args:
            pattern: A regular expression; it may match anywhere in the line.
            within: Seconds after which the wait fails the test; None for none but the test's own.

        Returns:
            The first line that matches.
        """
        entry = (re.compile(pattern), Deferred[str]())
        self._waiting.append(entry)
        for line in self.matching(pattern)[:1]:
            entry[1].callback(line)

        def too_late(*_: object) -> NoReturn:
            raise self._failure(f"no line {pattern!r} within {within} s")

        waiting = entry[1].addBoth(self._forget, entry)
        return waiting if within is None else waiting.addTimeout(within, reactor, too_late)

    def close(self) -> None:
        """Fail the waits that are left: there will be no more lines."""
        for pattern, waiting in list(self._waiting):
            waiting.errback(self._failure(f"ended without a line {pattern.pattern!r}"))

    def _forget(self, result: Any, entry: Any) -> Any:
        self._waiting.remove(entry)
        return result

    def _failure(self, why: str) -> FailTest:
        return FailTest("\n".join([f"{why}; the log:", *self.lines]))


@define(eq=False)
class LoggedProcess(ProcessProtocol):
    """A process whose output, standard error included, is a log.

    Attributes:
        reason: The exception that says how it ended; None while it runs.
    """

    log: Log = Factory(Log)
    reason: Any = None
    _ended: Deferred[None] = Factory(Deferred)
    _partial: dict[int, bytes] = Factory(dict)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Cut what arrives into lines."""
        *lines, rest = (self._partial.get(childFD, b"") + data).split(b"\n")
        self._partial[childFD] = rest
        for line in lines:
            self.log.add(line.decode(errors="replace"))

    def fill(self, descriptor: int) -> None:
        """Fill the pipe behind a descriptor of the process, and read it only after its exit."""
        process: Any = self.transport
        process.pipes[descriptor].stopReading()
        path = f"/proc/{process.pid}/fd/{descriptor}"
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        for size in 1024, 1:
            with suppress(BlockingIOError):
                while True:
                    os.write(pipe, b"." * size)
        os.close(pipe)

    def processExited(self, reason: Failure) -> None:
        """Read the pipes that were filled: the process counts as ended when they are closed."""
        process: Any = self.transport
        for pipe in process.pipes.values():
            pipe.startReading()

    def processEnded(self, reason: Failure) -> None:
        """Fail the waits for a line, and tell the waits for the end."""
        self.reason = reason.value
        self.log.close()
        self._ended.callback(None)

    def signal(self, name: str) -> None:
        """Send the process a signal, such as `TERM`."""
        assert self.transport is not None
        self.transport.signalProcess(name)

    async def end(self, within: float = 20) -> Any:
        """Wait until the process has ended, and kill it if it takes too long; returns why."""
        kill = reactor.callLater(within, self.signal, "KILL")
        await self._ended
        if kill.active():
            kill.cancel()
        return self.reason

    async def stop(self, within: float = 10) -> None:
        """Ask the process to stop, and wait for its end."""
        with suppress(ProcessExitedAlready):
            self.signal("TERM")
        await self.end(within)

    async def kill(self) -> None:
        """End the process at once, if it still runs."""
        with suppress(ProcessExitedAlready):
            self.signal("KILL")
        await self.end()


@define(frozen=True)
class SelfSigned:
    """A certificate for loopback that no other client trusts, and where its files are."""

    certificate: Path
    private_key: Path

    @classmethod
    def at(cls, directory: Path) -> "SelfSigned":
        """The certificate that was made in this directory, perhaps by another process."""
        return cls(directory / "certificate.pem", directory / "key.pem")

    @classmethod
    def make(cls, directory: Path) -> "SelfSigned":
        """Make a key and a certificate in this directory, which must be new."""
        directory.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1())
        made = cls.at(directory)
        made.certificate.write_bytes(_certify(key).public_bytes(Encoding.PEM))
        made.private_key.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return made

    def listen(self) -> str:
        """The endpoint to give to `--listen`."""
        return (
            f"ssl:0:privateKey={self.private_key}:certKey={self.certificate}:interface={LOOPBACK}"
        )

    def trusting(self, *protocols: bytes) -> Any:
        """TLS options of a client that trusts this certificate, and offers these protocols."""
        return optionsForClientTLS(
            LOOPBACK,
            trustRoot=Certificate.loadPEM(self.certificate.read_bytes()),
            acceptableProtocols=list(protocols) or None,
        )


def _certify(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, LOOPBACK)])
    address = x509.IPAddress(ipaddress.ip_address(LOOPBACK))
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(name, name, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, SHA256())
    )


@define(frozen=True)
class Server:
    """A server that listens: its port, its log, its certificate, and how to reach it."""

    port: int
    log: Log
    certificate: SelfSigned | None = None

    @property
    def url(self) -> str:
        """Where the server is, without a path."""
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://{LOOPBACK}:{self.port}"

    async def connect(self, protocol: _Client, *offered: bytes) -> _Client:
        """Connect a client; over TLS, it offers these protocols."""
        endpoint: IStreamClientEndpoint
        endpoint = TCP4ClientEndpoint(reactor, LOOPBACK, self.port)
        if self.certificate is not None:
            endpoint = wrapClientTLS(self.certificate.trusting(*offered), endpoint)
        await endpoint.connect(ClientFactory.forProtocol(lambda: protocol))
        return protocol


async def serve(
    test: TestCase, command: tuple[str, ...], certificate: SelfSigned | None = None
) -> Server:
    """Serve the repository's examples for the length of a test.

    Args:
        test: The test, at whose end the server is stopped.
        command: `TWIST` or `TWISTD`.
        certificate: What to serve over TLS with; without one, TCP is left bare.

    Returns:
        The server, once it listens, on a port that the kernel chose.
    """
    _, server = await launch(test, (*command, "--path", "examples"), certificate)
    return server


async def launch(
    test: TestCase,
    command: tuple[str, ...],
    certificate: SelfSigned | None = None,
    python: str = sys.executable,
    env: dict[str, str] | None = None,
) -> tuple[LoggedProcess, Server]:
    """Run a server for the length of a test, as `serve` does.

    Args:
        test: The test, at whose end the server is stopped.
        command: The arguments of Python, without where to listen.
        certificate: As for `serve`.
        python: The interpreter.
        env: The environment; this process's own unless given.
    """
    listen = certificate.listen() if certificate else f"tcp:0:interface={LOOPBACK}"
    process = LoggedProcess()
    reactor.spawnProcess(
        process, python, [python, *command, "--listen", listen], env=env, path=str(REPOSITORY)
    )
    test.addCleanup(process.stop)
    started = await process.log.expect(r"Site.* starting on \d+")
    return process, Server(int(started.rpartition(" ")[2]), process.log, certificate)
