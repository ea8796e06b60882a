"""Sockets that a supervisor hands down to `twist cancelweb`: wrong ones, each in one line.

What belongs here: checks in this process, on sockets of its own. What does not: supervisors, and
processes that share a socket (`real.servers.test_systemd`, `real.servers.test_supervisord`).
"""

import errno
import os
import socket
from typing import Any

from twisted.internet import endpoints
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpointStringParser
from twisted.internet.task import deferLater
from twisted.plugin import getPlugins
from twisted.python.systemd import ListenFDs
from twisted.trial.unittest import SynchronousTestCase

from cancelweb import tap
from cancelweb.tap.handed_down import NEEDED, is_handed_down

from .._servers import LOOPBACK, reactor
from .test_tap import parsed
from .test_tap_service import RunningTestCase

BY_NAME = "systemd:domain=INET:name=web"
BY_INDEX = "systemd:domain=INET:index=0"
OURS = str(os.getpid())
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def one_socket(name: str) -> dict[str, str]:
    """What a supervisor sets for one socket of this name."""
    return dict(zip(VARIABLES, (OURS, "1", name), strict=True))


class HandedDownTestCase(SynchronousTestCase):
    """A process to which sockets may be handed down."""

    def hand_down(self, environment: dict[str, str], first: int | None = None) -> None:
        """Let this process find these variables, and Twisted the descriptors from the first on."""
        given = {**os.environ, **environment}
        for name in {*VARIABLES} - {*environment}:
            given.pop(name, None)
        self.patch(os, "environ", given)
        parsers: Any = getPlugins(IStreamServerEndpointStringParser)
        # Twisted reads the variables once, when it is imported.
        (parser,) = [type(each) for each in parsers if each.prefix == "systemd"]
        self.patch(parser, "_sddaemon", ListenFDs.fromEnvironment(given, first))

    def hand_down_socket(self, made: socket.socket, name: str = "web") -> int:
        """Hand down a socket as a supervisor does; returns its descriptor."""
        self.addCleanup(made.close)
        self.hand_down(one_socket(name), made.fileno())
        return made.fileno()

    def line(self, *endpoints: str) -> str:
        """The line with which the program ends, without its beginning."""
        arguments = [each for given in endpoints for each in ("--listen", given)]
        code = self.assertRaises(SystemExit, parsed, *arguments).code
        start = f"cancelweb: --listen {endpoints[-1]}: "
        assert isinstance(code, str) and code.startswith(start), code
        self.assertEqual(len(code.splitlines()), 1, code)
        return code.removeprefix(start)


class MissingTests(HandedDownTestCase):
    """No such socket was handed down."""

    def test_nothing(self) -> None:
        """Without LISTEN_FDNAMES, the line says what a supervisor must set."""
        for given in ({}, {"LISTEN_FDS": "1", "LISTEN_PID": OURS}):
            for endpoint in BY_NAME, BY_INDEX, f"haproxy:{BY_NAME}":
                self.hand_down(given)
                self.assertEqual(
                    self.line(endpoint),
                    "no socket was handed down, because LISTEN_FDNAMES is not set: a supervisor "
                    "must set LISTEN_PID, LISTEN_FDS, and LISTEN_FDNAMES with a name for each "
                    "socket. systemd does so, and systemd-socket-activate with --fdname=web",
                )

    def test_only_names(self) -> None:
        """With other names than sockets, the line shows the names."""
        for names, environment in {
            "web": {},
            "web:status": {"LISTEN_FDS": "1", "LISTEN_PID": OURS},
        }.items():
            self.hand_down({"LISTEN_FDNAMES": names, **environment})
            expected = f"no socket was handed down for the LISTEN_FDNAMES {names}: {NEEDED}"
            self.assertEqual(self.line(BY_NAME), expected)

    def test_for_another_process(self) -> None:
        """With the LISTEN_PID of another process, the line has both, and the usual reason."""
        self.hand_down({**one_socket("web"), "LISTEN_PID": "1"})
        self.assertEqual(
            self.line(BY_NAME),
            f"LISTEN_PID is 1, and this is process {OURS}: have the supervisor start this program "
            "itself, or a shell that runs it with exec",
        )

    def test_number(self) -> None:
        """A LISTEN_FDS that is missing, or not a number, is shown."""
        for shown, environment in {"None": {}, "'web'": {"LISTEN_FDS": "web"}}.items():
            self.hand_down({"LISTEN_PID": OURS, "LISTEN_FDNAMES": "web", **environment})
            expected = f"LISTEN_FDS must be the number of sockets, not {shown}"
            self.assertEqual(self.line(BY_NAME), expected)

    def test_another_name_or_index(self) -> None:
        """A name or an index that no socket has is answered with the names that there are."""
        self.hand_down_socket(socket.create_server((LOOPBACK, 0)))
        self.assertEqual(
            self.line("systemd:domain=INET:name=wbe"),
            "no socket has this name. LISTEN_FDNAMES is web",
        )
        self.assertEqual(
            self.line("systemd:domain=INET:index=1"),
            "the indexes of the sockets begin with 0, and LISTEN_FDNAMES has only web",
        )


class DescriptionTests(HandedDownTestCase):
    """The endpoint as it is written."""

    def test_incomplete(self) -> None:
        """An endpoint without its domain, name or index, or with a wrong one, gets an example."""
        self.hand_down_socket(socket.create_server((LOOPBACK, 0)))
        for endpoint in (
            *("systemd:", "systemd:name=web", "systemd:domain=INET", f"{BY_NAME}:index=0"),
            *("systemd:domain=TCP:name=web", "systemd:domain=INET:index=web"),
            *(f"{BY_NAME}:backlog=5", f"haproxy:{BY_NAME}:index=0"),
        ):
            self.assertEqual(
                self.line(endpoint),
                "must have a domain, INET or INET6, and either an index or a name, such as "
                "systemd:domain=INET:name=web",
            )

    def test_which_are_handed_down(self) -> None:
        """The kind of an endpoint tells, in any case and behind a wrapper."""
        for endpoint in BY_NAME, BY_INDEX, "Systemd:", f"haproxy:{BY_NAME}", f"HAProxy:{BY_NAME}":
            self.assertTrue(is_handed_down(endpoint), endpoint)
        for endpoint in "tcp:8080", "unix:systemd", "haproxy:tcp:8080", "haproxy", "systemd":
            self.assertFalse(is_handed_down(endpoint), endpoint)


class SocketTests(HandedDownTestCase):
    """A descriptor that is there, and may be wrong."""

    def test_right(self) -> None:
        """A listening TCP socket of the right family is accepted, by its name and its index."""
        for family, domain, host in (
            (socket.AF_INET, "INET", LOOPBACK),
            (socket.AF_INET6, "INET6", "::1"),
        ):
            self.hand_down_socket(socket.create_server((host, 0), family=family))
            for which in "name=web", "index=0":
                for start in "", "haproxy:":
                    endpoint = f"{start}systemd:domain={domain}:{which}"
                    self.assertEqual(parsed("--listen", endpoint)["ports"], [endpoint])

    def test_closed(self) -> None:
        """A descriptor that is not open is not an open socket, and the line has the reason."""
        closed = socket.socket()
        descriptor = self.hand_down_socket(closed)
        closed.close()
        self.assertEqual(
            self.line(BY_NAME),
            f"descriptor {descriptor} is not an open socket: {os.strerror(errno.EBADF)}",
        )

    def test_file(self) -> None:
        """A descriptor of a file is not an open socket, and the line has the reason."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        self.hand_down(one_socket("web"), reader)
        self.assertEqual(
            self.line(BY_NAME),
            f"descriptor {reader} is not an open socket: {os.strerror(errno.ENOTSOCK)}",
        )

    def test_datagrams(self) -> None:
        """A UDP socket is not a TCP socket."""
        made = socket.socket(type=socket.SOCK_DGRAM)
        descriptor = self.hand_down_socket(made)
        self.assertEqual(
            self.line(BY_NAME), f"descriptor {descriptor} is not a TCP socket, but a SOCK_DGRAM"
        )

    def test_connection(self) -> None:
        """A connection is refused, with the setting of systemd that hands it down."""
        with socket.create_server((LOOPBACK, 0)) as listening:
            client = socket.create_connection(listening.getsockname())
        descriptor = self.hand_down_socket(client)
        self.assertEqual(
            self.line(BY_NAME),
            f"descriptor {descriptor} does not listen. A connection cannot be handed down, as with "
            "Accept=yes: write Accept=no",
        )

    def test_other_domain(self) -> None:
        """A socket of another family than the endpoint's names the domain that it needs."""
        made = socket.create_server(("::1", 0), family=socket.AF_INET6)
        descriptor = self.hand_down_socket(made)
        self.assertEqual(self.line(BY_NAME), f"descriptor {descriptor} needs domain=INET6")

    def test_unix(self) -> None:
        """A UNIX socket is refused: the first process that stops would delete its file."""
        made = socket.socket(socket.AF_UNIX)
        made.bind(self.mktemp())
        made.listen()
        descriptor = self.hand_down_socket(made)
        self.assertEqual(
            self.line("systemd:domain=UNIX:name=web"),
            f"descriptor {descriptor} is a UNIX socket, whose file Twisted deletes when the first "
            "process stops, so that no client reaches the others: hand down a TCP socket",
        )

    def test_twice(self) -> None:
        """A socket that two options name, by name or by index, is refused to the second."""
        descriptor = self.hand_down_socket(socket.create_server((LOOPBACK, 0)))
        taken = (
            f"descriptor {descriptor} is already that of another option: let the supervisor hand "
            "down one socket for each"
        )
        self.assertEqual(self.line(BY_INDEX, BY_NAME), taken)
        code = self.assertRaises(SystemExit, parsed, "--listen", BY_NAME, "--status", BY_INDEX).code
        self.assertEqual(code, f"cancelweb: --status {BY_INDEX}: {taken}")

    def test_is_left_open(self) -> None:
        """The check leaves the descriptor open, and a socket as it was."""
        made = socket.create_server((LOOPBACK, 0))
        self.hand_down_socket(made)
        parsed("--listen", BY_NAME)
        self.assertTrue(made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        self.assertIsInstance(
            endpoints.serverFromString(None, BY_NAME), endpoints.AdoptedStreamServerEndpoint
        )


class StoppingTests(HandedDownTestCase, RunningTestCase):
    """A server that is stopped, in this process, and whose socket outlives it."""

    async def test_clients_are_left(self) -> None:
        """At the signal, before its delay, the server stops accepting, and resets no client."""
        # This process has a descriptor of its own, as the other servers have.
        shared = socket.create_server((LOOPBACK, 0))
        self.addCleanup(shared.close)
        self.hand_down(one_socket("web"), shared.dup().detach())
        server = tap.makeService(parsed("--listen", BY_NAME, "--drain-delay", "0.3"))
        server.startService()
        (port,) = [each for each in reactor.getReaders() if IListeningPort.providedBy(each)]
        stopped = server.stopService()
        await deferLater(reactor, 0)
        self.assertNotIn(port, reactor.getReaders())
        self.assertFalse(stopped.called)
        client = socket.create_connection(shared.getsockname())
        self.addCleanup(client.close)
        await stopped
        accepted, _ = shared.accept()
        accepted.sendall(b"page")
        accepted.close()
        self.assertEqual(client.recv(9), b"page")
