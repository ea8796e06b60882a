"""Resources of Twisted and other projects answer the same bytes wrapped as plain.

Each request is sent twice over a real socket: to the plain resource and to a wrapped one, on a
connection of its own. What differs by the clock on the wall is masked, and nothing else.
What happens when clients leave is for `test_others_leaving` and `test_others_programs`.
"""

from base64 import b64encode
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase
from twisted.web.proxy import ReverseProxyResource
from twisted.web.static import File
from twisted.web.util import Redirect

from cancelweb import CancellingResource, Outcome

from .._loopback import connect, masked, request, serve
from .._servers import LOOPBACK
from . import _others as others
from ._websockets import FRAMES, UPGRADE, autobahn_echo, twisted_echo

CALL = b"<?xml version='1.0'?><methodCall><methodName>%b</methodName>%b</methodCall>"
TWO = b"<params>" + b"<param><value><int>2</int></value></param>" * 2 + b"</params>"


class SameBytesTestCase(TestCase):
    """The same request, plain and wrapped."""

    timeout = 20

    async def same(self, make: Callable[[], Any], *requests: bytes) -> list[bytes]:
        """Insist that each request is answered the same, and has one outcome if wrapped.

        Args:
            make: Called twice, for a resource to be left plain and for one to be wrapped.
            requests: Each for a connection of its own, which the server closes.

        Returns:
            The answers, for the test to see that they are what it is about.
        """
        outcomes: list[Outcome] = []
        plain = await self.answers(make(), requests)
        wrapped = await self.answers(
            CancellingResource(make(), observers=outcomes.append), requests
        )
        for one, other in zip(plain, wrapped, strict=True):
            # In pieces: unittest would look long for the shortest difference of long texts.
            for start in range(0, max(len(one), len(other)), 300):
                self.assertEqual(one[start:][:300], other[start:][:300])
        self.assertEqual([each.cause for each in outcomes], [None] * len(requests))
        return plain

    async def answers(self, resource: Any, requests: tuple[bytes, ...]) -> list[bytes]:
        """The bytes with which each of the requests is answered."""
        port = serve(self, resource)
        return [await self.answer(port, each) for each in requests]

    async def answer(self, port: int, data: bytes) -> bytes:
        """The bytes with which one request is answered."""
        connection = await connect(self, port)
        connection.send(data)
        return masked(await connection.closed)

    def assert_statuses(self, answers: list[bytes], *statuses: int) -> None:
        """The answers have these statuses."""
        self.assertEqual([int(each.split(b" ", 2)[1]) for each in answers], list(statuses))


class FilesTests(SameBytesTestCase):
    """`twisted.web.static.File`, and what it makes of the files in it."""

    def files(self) -> File:
        """The directory of the test, as a `File`."""
        return others.files(self.directory)

    def setUp(self) -> None:
        """Choose the directory of the test."""
        self.directory = Path(self.mktemp())

    async def test_files(self) -> None:
        """A wrapped `File` answers for files, directories and missing names as a plain one does."""
        targets = [b"/text.txt", b"/empty", b"/", b"/missing"]
        answers = await self.same(self.files, *[request(each) for each in targets])
        self.assert_statuses(answers, 200, 200, 200, 404)
        self.assertTrue(answers[0].endswith(others.TEXT))

    async def test_head(self) -> None:
        """A wrapped `File` answers a HEAD as a plain one does."""
        (answer,) = await self.same(self.files, request(b"/text.txt", b"HEAD"))
        self.assertTrue(answer.endswith(b"\r\n\r\n"))

    async def test_ranges(self) -> None:
        """A wrapped `File` answers for ranges, valid and invalid, as a plain one does."""
        ranges = [b"5-9", b"0-4,100-120,5000-70000", b"-10", b"900000-"]
        requests = [request(b"/text.txt", b"GET", b"Range: bytes=" + each) for each in ranges]
        answers = await self.same(self.files, *requests)
        self.assert_statuses(answers, 206, 206, 206, 416)
        self.assertIn(b"multipart/byteranges", answers[1])

    async def test_not_modified(self) -> None:
        """A wrapped `File` answers a 304 for an unchanged file, as a plain one does."""
        since = b"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"
        answers = await self.same(self.files, request(b"/text.txt", b"GET", since))
        self.assert_statuses(answers, 304)

    async def test_no_such_method(self) -> None:
        """A wrapped `File` refuses a DELETE as a plain one does."""
        answers = await self.same(self.files, request(b"/text.txt", b"DELETE"))
        self.assert_statuses(answers, 501)

    async def test_scripts(self) -> None:
        """A wrapped rpy script answers as a plain one does."""
        answers = await self.same(self.files, request(b"/made.rpy"))
        self.assertTrue(answers[0].endswith(b"made by a script"))

    async def test_cgi(self) -> None:
        """A wrapped CGI program answers a query and a body as a plain one does."""
        answers = await self.same(
            self.files, request(b"/run.cgi?a=b"), request(b"/run.cgi", b"POST", body=b"text")
        )
        self.assertIn(b"X-Query: a=b", answers[0])
        self.assertIn(b"POST text", answers[1])


class ContainersTests(SameBytesTestCase):
    """Resources around resources."""

    async def test_named_hosts(self) -> None:
        """A wrapped `NameVirtualHost` answers for each host as a plain one does."""
        hosts = {"localhost": others.page(b"local"), "example": others.template()}
        names = [b"localhost", b"example", b"other"]
        requests = [request().replace(b"localhost", name) for name in names]
        answers = await self.same(lambda: others.named_hosts(**hosts), *requests)
        for answer, content in zip(answers, [b"local", b"<i>filled</i>", b"default"], strict=True):
            self.assertIn(content, answer)

    async def test_passwords(self) -> None:
        """A wrapped `HTTPAuthSessionWrapper` answers for each password as a plain one does."""
        answers = await self.same(
            lambda: others.guarded(others.template()),
            request(b"/", b"GET", b"Authorization: Basic " + b64encode(b"user:password")),
            request(),
            request(b"/", b"GET", b"Authorization: Basic " + b64encode(b"user:wrong")),
        )
        self.assert_statuses(answers, 200, 401, 401)

    async def test_gzip(self) -> None:
        """A wrapped `EncodingResourceWrapper` answers with and without gzip as a plain one does."""
        for page in [others.page(others.TEXT), others.template()]:
            answers = await self.same(
                partial(others.compressed, page),
                request(b"/", b"GET", b"Accept-Encoding: gzip"),
                request(),
            )
            self.assertIn(b"\r\nContent-Encoding: gzip\r\n", answers[0])
            self.assertNotIn(b"\r\nContent-Encoding: gzip\r\n", answers[1])

    async def test_late(self) -> None:
        """A wrapped `DeferredResource` answers as a plain one does."""
        pages = [others.template, lambda: others.page(b"data"), others.klein]
        for make in pages:
            answers = await self.same(
                partial(others.LateAgain, make),
                request(b"/x/"),
                request(b"/x/", b"HEAD"),
            )
            self.assert_statuses(answers, 200, 200)

    async def test_redirect(self) -> None:
        """A wrapped `Redirect` answers as a plain one does."""
        answers = await self.same(lambda: Redirect(b"/there"), request())
        self.assert_statuses(answers, 302)


class ApplicationsTests(SameBytesTestCase):
    """Frameworks and other programs behind a resource."""

    async def test_flask(self) -> None:
        """A wrapped Flask application answers as a plain one does."""
        answers = await self.same(
            others.flask,
            request(b"/hello/you"),
            request(b"/echo", b"POST", body=others.TEXT),
            request(b"/stream"),
            request(b"/hello/you", b"HEAD"),
            request(b"/missing"),
        )
        self.assert_statuses(answers, 203, 200, 200, 203, 404)
        self.assertTrue(answers[1].endswith(others.TEXT))

    async def test_klein(self) -> None:
        """A wrapped Klein application answers as a plain one does."""
        answers = await self.same(
            others.klein,
            request(),
            request(b"/late/3"),
            request(b"/late/3", b"POST", body=b"text"),
            request(b"/template"),
            request(b"/static/data"),
            request(b"/late/x"),
            request(b"/", b"DELETE"),
            request(b"/late/3", b"HEAD"),
        )
        self.assert_statuses(answers, 200, 200, 200, 200, 200, 404, 200, 200)

    async def test_prometheus(self) -> None:
        """A wrapped page of `prometheus_client.twisted` answers as a plain one does."""
        (answer,) = await self.same(others.metrics, request())
        self.assertIn(b"answers 42.0", answer)

    async def test_xmlrpc(self) -> None:
        """A wrapped `XMLRPC` answers results, faults and other requests as a plain one does."""
        bodies = [CALL % (b"add", TWO), CALL % (b"late", b""), CALL % (b"missing", b"")]
        xml = b"Content-Type: text/xml"
        requests = [request(b"/", b"POST", xml, body=each) for each in bodies]
        answers = await self.same(others.Calls, *requests, request())
        self.assert_statuses(answers, 200, 200, 200, 405)
        self.assertIn(b"<int>4</int>", answers[0])

    async def test_templates(self) -> None:
        """A wrapped template with a slot that is filled late answers as a plain one does."""
        (answer,) = await self.same(others.template, request())
        self.assertIn(b"<i>filled</i>", answer)

    async def test_reverse_proxy(self) -> None:
        """A wrapped `ReverseProxyResource` with a real upstream answers as a plain one does."""
        upstream = serve(self, others.flask())
        answers = await self.same(
            lambda: ReverseProxyResource(LOOPBACK, upstream, b""),
            request(b"/hello/you?a=b"),
            request(b"/echo", b"POST", body=others.TEXT),
            request(b"/missing"),
        )
        self.assert_statuses(answers, 203, 200, 404)


class WebSocketsTests(SameBytesTestCase):
    """Connections that are taken over: the handshake, and every frame after it."""

    async def answer(self, port: int, data: bytes) -> bytes:
        """The bytes of a connection whose frames are sent once the handshake is answered."""
        head, separator, frames = data.partition(b"\r\n\r\n")
        connection = await connect(self, port)
        connection.send(head + separator)
        await connection.until(b"\r\n\r\n")
        connection.send(frames)
        return masked(await connection.closed)

    async def test_twisted(self) -> None:
        """A wrapped WebSocket of Twisted's answers the same bytes as a plain one."""
        echo = twisted_echo(self)
        answers = await self.same(echo, UPGRADE + FRAMES, request())
        self.assert_statuses(answers, 101, 400)
        self.assertIn(b"echo", answers[0])

    async def test_autobahn(self) -> None:
        """A wrapped WebSocket of Autobahn's answers the same bytes as a plain one."""
        answers = await self.same(autobahn_echo, UPGRADE + FRAMES)
        self.assert_statuses(answers, 101)
        self.assertIn(b"echo", answers[0])
