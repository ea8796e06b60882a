"""Responses of an upstream that a reverse proxy does not relay as they came, or not at all.

What belongs here: heads that are not HTTP, headers for one hop, and upstreams that fail after their
heads. What does not: how many bytes a head may have, which is in `test_proxy_bounds`.
"""

from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel, formatEvent

from cancelweb import CancellingResource, Ended, TimedOut

from ._wires import EMPTY, OK, WireTestCase

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = b"HTTP/1.1 200 OK\r\nX-From: up\r\nContent-Length: 1000\r\n\r\n"


PIECES = [
    *[b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"],
    *[b"HTTP/1.0 404\r\n", b"HTTP/1.1 000 \r\n", b"A: b\r\n", b" c\r\n", b"\r\n", b"\n", b"\r"],
    *[b"Content-Length: 2\r\n", b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b":", b"\x00"],
    *[b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"Connection: A\r\n"],
    *[b"\r\n5\r\nhello\r\n", b"\r\n0\r\n\r\n", b"\r\nzz\r\n", b"hi"],
]


def head(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """A response with these headers, and a short body."""
    return b"\r\n".join([status, *lines, b"Content-Length: 2", b"", b"hi"])


class HeadTests(WireTestCase):
    """The head of a response."""

    def assert_refused(self, said: bytes, **asked: Any) -> None:
        """The client gets a 502 without a header of the upstream, and the log one warning."""
        answers: list[Any] = []
        told = self.warnings_of(lambda: answers.append(self.answer(said, **asked)))
        self.assertEqual([each.code for each in answers], [502], said)
        self.assertIsNone(answers[0].header(b"X-From"))
        self.assertEqual(len(told), 1, said)
        self.assertTrue(formatEvent(told[0]).isprintable())

    def test_status(self) -> None:
        """A status that is none, or an upgrade that was not asked for, gives a 502."""
        for code in [b"000", b"99", b"600", b"999", b"1000", b"0200", b"+20", b"2_0", b"20x", b""]:
            self.assert_refused(head(status=b"HTTP/1.1 " + code + b" OK"))
        self.assert_refused(head(status=b"HTTP/1.1 101 Switching Protocols"))

    def test_version(self) -> None:
        """What is not HTTP/1 gives a 502."""
        for version in [
            b"ICY",
            b"HTTP/2.0",
            b"HTTP/2",
            b"http/1.1",
            b"HTTP/1",
            b"SPDY/1.1",
            b"\x15",
        ]:
            self.assert_refused(head(status=version + b" 200 OK"))

    def test_reason_phrase(self) -> None:
        """A reason phrase with control characters gives a 502."""
        for bad in [b"\rSet-Cookie: a=b", b"\x00", b"\x1b[2J", b"\x7f", b"\x08"]:
            self.assert_refused(head(status=b"HTTP/1.1 200 OK" + bad))

    def test_odd_reason_phrase(self) -> None:
        """A reason phrase may be missing, and may have tabs and other alphabets."""
        for phrase in [b"", b" ", b" OK\tfine", b" \xc3\xa4", b" \xe4"]:
            self.assertEqual(self.answer(head(status=b"HTTP/1.1 200" + phrase)).body, b"hi")

    def test_header_values(self) -> None:
        """A header whose value has control characters gives a 502."""
        for bad in [b"a\rSet-Cookie: b=c", b"a\x00b", b"\x1b[2J", b"\x7f"]:
            self.assert_refused(head(b"X-From: " + bad))

    def test_header_names(self) -> None:
        """A header whose name is none gives a 502."""
        for line in [b"X From: a", b"X-From : a", b": a", b"X\x00: a", b"X\xe4: a", b"no colon"]:
            self.assert_refused(head(line))

    def test_lengths(self) -> None:
        """Lengths that contradict each other, or are none, give a 502."""
        for length in [b"3", b"-1", b"+2", b"2 2", b"0x2", b"a"]:
            self.assert_refused(head(b"Content-Length: " + length))
        two = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n"
        self.assert_refused(two, method=b"HEAD")
        self.assert_refused(two.replace(b"2", b"a"), method=b"HEAD")

    def test_folded(self) -> None:
        """A header in several lines is relayed in one (RFC 9112, section 5.2)."""
        answer = self.answer(head(b"X-From: a", b"  b", b"\tc"))
        self.assertEqual(answer.header(b"X-From"), b"a b c")
        self.assert_refused(head(b" b"))

    def test_empty_body(self) -> None:
        """An empty page is relayed without a warning that its handler has forgotten it."""
        told = self.warnings_of(lambda: self.assertEqual(self.answer(EMPTY).body, b""))
        self.assertEqual(told, [])

    def test_other_agents(self) -> None:
        """The head is checked for any agent, not only for Twisted's."""

        class Inside:
            """An agent that hides the one inside."""

            def __init__(self, agent: Any) -> None:
                self.request = agent.request

        for said in [
            head(status=b"HTTP/1.1 000 Zero"),
            head(status=b"SPDY/1.1 200 OK"),
            head(status=b"HTTP/1.1 200 OK\rSet-Cookie: a=b"),
            head(*[b"A: b"] * 501),
        ]:
            proxy = self.proxy()
            proxy.agent = Inside(proxy.agent)
            self.assert_refused(said, root=proxy)


class HopTests(WireTestCase):
    """Headers that are for one hop only."""

    def names(self, *lines: bytes) -> set[bytes]:
        """The names of the headers that the client gets, without those of every answer."""
        answer = self.answer(head(*lines))
        self.assertEqual(answer.body, b"hi")
        names = {name for name, _ in answer.headers.getAllRawHeaders()}
        return names - {b"Content-Length", b"Server", b"Date"}

    def test_named_in_connection(self) -> None:
        """A header that the upstream names in ``Connection`` is dropped."""
        for connection in [
            [b"Connection: close, X-Internal"],
            [b"connection:x-internal"],
            [b"Connection: a", b"Connection: b ,\tX-INTERNAL,"],
            [b"Connection: a,", b" X-Internal"],
        ]:
            names = self.names(*connection, b"X-Internal: 1", b"x-internal: 2", b"X-Other: 3")
            self.assertEqual(names, {b"X-Other"}, connection)
            self.assertEqual(self.names(b"X-Internal: 1", b" 2", *connection), set())

    def test_framing_stays(self) -> None:
        """The headers that tell where a body ends are needed, even if ``Connection`` names them."""
        self.assertEqual(self.names(b"Connection: close, Content-Length"), set())
        said = b"HTTP/1.1 200 OK\r\nConnection: transfer-encoding\r\n" + CHUNKED.partition(b"\n")[2]
        self.assertEqual(self.answer(said + b"2\r\nhi\r\n0\r\n\r\n").body, b"hi")

    def test_of_proxies(self) -> None:
        """What proxies say to each other is dropped."""
        lines = [b"Proxy-Authenticate: Basic", b"Proxy-Connection: close", b"Keep-Alive: timeout=5"]
        self.assertEqual(self.names(*lines, b"WWW-Authenticate: Basic"), {b"WWW-Authenticate"})


class AnyResponseTests(WireTestCase):
    """Whatever an upstream says."""

    @settings(max_examples=500, deadline=None)
    @given(
        st.lists(st.sampled_from(PIECES) | st.binary(max_size=5), max_size=9).map(b"".join),
        st.sampled_from([PIECES[0], b""]),
        st.sampled_from([b"GET", b"HEAD"]),
        st.integers(1, 50),
    )
    def test_any(self, said: bytes, begin: bytes, method: bytes, size: int) -> None:
        """Any answer is relayed or refused with at most one warning, and is never an error here."""
        del self.outcomes[:], self.events[:]
        connection = self.client().connect()
        exchange = connection.request(method)
        self.wire.line.say(begin + said, size)
        self.wire.line.close()
        self.clock.pump([0] * 10)
        self.assertTrue(exchange.is_over)
        self.assertNotIn(b" 500 ", connection.received)
        self.assertNotRegex(connection.received.partition(b"\r\n\r\n")[0], rb"\r(?!\n)|\x00")
        self.assertEqual([e for e in self.events if e["log_level"] >= LogLevel.error], [])
        failed = self.outcomes[0].ended is Ended.FAILED or b" 502 " in connection.received[:20]
        warned = [e for e in self.events if e["log_level"] is LogLevel.warn]
        self.assertEqual(len(warned), failed)


class EarlyTests(WireTestCase):
    """Upstreams that answer before they have all of the request."""

    def test_answer(self) -> None:
        """The client gets the answer, and the rest of its body is neither read nor sent."""
        for said in [OK, EMPTY]:
            exchange = self.client().post(b"/", b"a" * 2**20)
            told = self.warnings_of(partial(self.say, said))
            assert exchange.response is not None
            self.assertEqual((exchange.response.code, told), (200, []))
            self.assertNotIn(b"aaa", self.wire.line.value())
            self.assertTrue(self.wire.line.is_closed)

    def test_body_that_is_never_sent(self) -> None:
        """An agent may answer without the request's body, such as one with a cache."""

        class Bodiless:
            """An agent that sends no bodies."""

            def request(self, method: bytes, uri: bytes, headers: Any, _: object) -> Any:
                """See `IAgent`."""
                return inner.request(method, uri, headers)

        proxy = self.proxy()
        inner, proxy.agent = proxy.agent, Bodiless()
        exchange = self.client(proxy).post(b"/", b"a")
        self.say(OK)
        assert exchange.response is not None
        self.assertEqual(exchange.response.body, b"hi")

    def say(self, said: bytes) -> None:
        """Answer, before a turn in which the body could be sent."""
        self.wire.line.say(said)
        self.clock.pump([0] * 10)


class LaterFailureTests(WireTestCase):
    """Upstreams that fail after their heads."""

    def assert_502(self, said: bytes) -> None:
        """The client gets a 502 without a header of the upstream, and the log one warning."""
        answers: list[Any] = []
        told = self.warnings_of(lambda: answers.append(self.answer(said)))
        self.assertEqual([each.code for each in answers], [502], said)
        self.assertIsNone(answers[0].header(b"X-From"))
        self.assertTrue(answers[0].is_complete)
        self.assertEqual(len(told), 1, said)
        self.assertIs(self.outcomes.pop().ended, Ended.COMPLETED)

    def test_before_the_first_part(self) -> None:
        """While nothing is sent to the client, an answer is possible: a 502."""
        self.assert_502(CHUNKED + b"zz\r\n")
        self.assert_502(CHUNKED + b"5")
        self.assert_502(CHUNKED)
        self.assert_502(LONG)
        self.assert_502(CHUNKED + b"1" * 2000)
        self.assert_502(CHUNKED + b"5;" + b"a" * 2000)

    def test_silent_after_the_head(self) -> None:
        """The client gets the head at once, so an event source is open before the first event."""
        for get in [self.client().connect().get, self.client().connect_http2().get]:
            exchange = get()
            self.wire.line.say(CHUNKED)
            self.assertIsNone(exchange.response)
            self.clock.advance(0)
            assert exchange.response is not None
            self.assertEqual((exchange.response.code, exchange.response.body), (200, b""))
            self.wire.line.say(b"5\r\nhello\r\n0\r\n\r\n")
            self.clock.pump([0] * 10)
            assert exchange.response is not None
            self.assertEqual(exchange.response.body, b"hello")
            self.assertTrue(exchange.response.is_complete)

    def begin(self, connection: Any) -> Any:
        """Ask, and let the first part of the answer reach the client."""
        exchange = connection.get()
        self.wire.line.say(CHUNKED)
        self.wire.line.say(b"5\r\nhello\r\n")
        self.clock.pump([0] * 10)
        self.assertEqual(exchange.response.body, b"hello")
        return exchange

    def say_nonsense(self) -> None:
        """Break off with something else than a chunk."""
        self.wire.lines[0].say(b"zz\r\n")
        self.wire.lines[0].close()
        self.clock.pump([0] * 10)

    def assert_failed(self) -> None:
        """The outcome is honest: failed, without a cause."""
        outcome = self.outcomes.pop()
        self.assertEqual((outcome.ended, outcome.cause), (Ended.FAILED, None))
        self.assertIn("broke off its answer", str(outcome.failure))

    def test_after_the_first_part(self) -> None:
        """Over HTTP/1.1 the connection is aborted, so the answer looks truncated."""
        connection = self.client().connect()
        exchange = self.begin(connection)
        (told,) = self.warnings_of(self.say_nonsense)
        self.assertIn("up.example broke off its answer: ", formatEvent(told))
        self.assertTrue(connection.is_aborted)
        self.assertFalse(exchange.response.is_complete)
        self.assert_failed()

    def test_after_the_first_part_over_http2(self) -> None:
        """Over HTTP/2 the stream is reset with INTERNAL_ERROR, and its siblings go on."""
        connection = self.client().connect_http2()
        exchange = self.begin(connection)
        sibling = connection.get()
        (told,) = self.warnings_of(self.say_nonsense)
        self.assertIs(told["log_level"], LogLevel.warn)
        self.assertEqual(exchange.error_code, 2)
        self.assert_failed()
        self.wire.lines[1].say(OK)
        self.clock.pump([0] * 10)
        assert sibling.response is not None
        self.assertEqual(sibling.response.body, b"hi")

    def test_short_body(self) -> None:
        """A body shorter than its length is aborted in the same way."""
        connection = self.client().connect()
        connection.get()
        self.wire.line.say(LONG + b"hello")
        self.clock.pump([0] * 10)
        self.assertEqual(len(self.warnings_of(self.hang_up)), 1)
        self.assertTrue(connection.is_aborted)
        self.assert_failed()

    def hang_up(self) -> None:
        """Hang up, as the upstream."""
        self.wire.line.close()
        self.clock.pump([0] * 10)

    def test_deadline_after_the_first_part(self) -> None:
        """A deadline in the middle of a body aborts it and closes the exchange."""
        root = CancellingResource(self.proxy(), total_timeout=5)
        connection = self.client(root).connect()
        self.begin(connection)
        self.assertEqual(self.warnings_of(lambda: self.clock.advance(5)), [])
        self.assertTrue(self.wire.line.is_closed)
        self.hang_up()
        self.assertTrue(connection.is_aborted)
        outcome = self.outcomes.pop()
        self.assertEqual((outcome.ended, type(outcome.cause)), (Ended.STOPPED, TimedOut))

    def test_client_leaves_before_the_first_part(self) -> None:
        """A client that leaves between the head and the body stops the request."""
        exchange = self.ask()
        self.wire.line.say(LONG)
        self.assertFalse(self.wire.line.is_closed)
        exchange.disconnect()
        self.assertTrue(self.wire.line.is_closed)
        self.assertEqual(self.warnings_of(self.hang_up), [])
        self.assertIs(self.outcomes.pop().ended, Ended.STOPPED)

    def test_to_a_client_that_has_left(self) -> None:
        """An upstream that fails when the client has left is not warned of."""
        exchange = self.begin(self.client().connect())
        exchange.disconnect()
        self.assertEqual(self.warnings_of(self.hang_up), [])
        self.assertIs(self.outcomes.pop().ended, Ended.STOPPED)
