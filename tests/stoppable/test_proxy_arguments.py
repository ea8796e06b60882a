"""What users pass to a reverse proxy.

What belongs here: wrong types and values, which are refused at once. What does not: what the
options do.
"""

import sys
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent

from cancelweb.proxy import ReverseProxyResource

PROXY: Any = ReverseProxyResource
GOOD: dict[str, Any] = {"host": "localhost", "port": 80, "path": b""}

WRONG_TYPES: dict[str, list[Any]] = {
    "host": [None, b"localhost", 80, ("localhost", 80)],
    "port": [None, "80", b"80", 80.0, True],
    "path": [None, "/prefix", 80],
    "reactor": [80, Clock(), Agent(MemoryReactorClock())],
    "agent": [80, b"agent", Agent, MemoryReactorClock(), Deferred()],
    "timeout_header": [80, b"X-Timeout", True],
    "tls": [None, 1, "yes"],
    "forwarded": [None, 1, "yes"],
    "trusted": [None, "127.0.0.1", b"127.0.0.1", 1, [b"127.0.0.1"], [None], [2130706433]],
}
WRONG_VALUES: dict[str, list[Any]] = {
    "host": ["", "http://a", "a:80", "a/b", "a b", "[::1]", "ä.example", "a@b", "a\r\n", "a?b"],
    "port": [0, -1, 65536],
    "path": [
        b"prefix",
        b"/",
        b"/a/",
        b"//a",
        b"/a b",
        b"/a?b",
        b"/a#b",
        b"/\xe4",
        b"/..",
        b"/a/./b",
    ],
    "timeout_header": ["", "a b", "a:"],
    "trusted": [["10.0.0.1/8"], ["localhost"], [""], ["127.0.0.1", "10.0.0.0/33"]],
}


class ProxyTests(SynchronousTestCase):
    """The arguments of a ReverseProxyResource."""

    def assert_refused(self, error: type[Exception], name: str, value: object) -> None:
        """The argument is refused, with an error that names it and shows it."""
        forwarded = {"forwarded": True} if name == "trusted" else {}
        raised = self.assertRaises(error, PROXY, **{**GOOD, **forwarded, name: value})
        self.assertIn(name, str(raised))
        shown = value[-1] if name == "trusted" and isinstance(value, list) else value
        self.assertIn(repr(shown)[:50], str(raised))

    def test_wrong_types(self) -> None:
        """An argument of a wrong type is a TypeError that says what it must be."""
        for name, values in WRONG_TYPES.items():
            for value in values:
                self.assert_refused(TypeError, name, value)

    def test_wrong_values(self) -> None:
        """An argument that cannot work is a ValueError that says what it must be."""
        for name, values in WRONG_VALUES.items():
            for value in values:
                self.assert_refused(ValueError, name, value)

    def test_right_ones(self) -> None:
        """What can work is accepted."""
        for host in ["127.0.0.1", "::1", "fe80::1%eth0", "a-b.example", "a_b", "xn--4ca.example"]:
            PROXY(host, 1, b"")
        for path in [b"", b"/a", b"/a/b;c/%C3%A4@:~", b"/.a", b"/..a/b.."]:
            PROXY("a", 65535, path)
        PROXY(**GOOD, forwarded=True, trusted={"unix", "10.0.0.0/8", "::1"})
        PROXY(**GOOD, reactor=MemoryReactorClock(), agent=Agent(MemoryReactorClock()))

    def test_trusted_alone(self) -> None:
        """The option ``trusted`` without ``forwarded`` has no effect, and is a ValueError."""
        error = self.assertRaises(ValueError, PROXY, **GOOD, trusted=["127.0.0.1"])
        self.assertIn("forwarded=True", str(error))

    def test_tls_that_is_not_installed(self) -> None:
        """If pyOpenSSL is not installed, ``tls`` is an ImportError that says what to install."""
        with patch.dict(sys.modules, {"twisted.internet.ssl": None}):
            error = self.assertRaises(ImportError, PROXY, **GOOD, tls=True)
            PROXY(**GOOD)
        self.assertIn("pip install 'cancelweb[tls]'", str(error))
