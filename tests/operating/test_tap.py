"""The command line of `twist cancelweb`: what each option does, and what a wrong one is told.

What is made of them is for `test_tap_service`; servers that are processes have
`real.system.test_twist`.
"""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import tap as twisted_tap
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.twcgi import CGIScript

from cancelweb import Outcome, Scope, tap
from cancelweb.monitor import Monitor
from cancelweb.tap import values
from cancelweb.testing import Connection

from .._docs import DOCS, EXAMPLES, PAGES, README
from .._logs import log_events, of_cancelweb
from .._pages import Page, waiting
from .._servers import REPOSITORY
from .._visits import connect

ENDPOINT = "tcp:0:interface=127.0.0.1"


told: list[object] = []


def hook(scope: Scope) -> None:
    """A cleanup hook that notes the cause."""
    told.append(scope.cause)


def observer(outcome: Outcome) -> None:
    """An observer that notes the outcome."""
    told.append(outcome)


def error_page(request: object, cause: object) -> bytes:
    """An error page that has the cause as its text."""
    return str(cause).encode()


MISSPELT = {"--timout": "--timeout", "--total-time-out": "--total-timeout", "--dryrun": "--dry-run"}


class NotAResource:
    """A class whose objects cannot be served."""


class Shy(Resource):
    """A resource that cannot be made without an argument."""

    def __init__(self, name: str) -> None:
        super().__init__()


def parsed(*arguments: str) -> tap.Options:
    """The options that a command line gives."""
    options = tap.Options()
    options.parseOptions(list(arguments))
    return options


WRONG = [
    ("--timeout", "soon", "must be a number of seconds"),
    ("--timeout", "-1", "timeout must be more than 0 and finite, not -1.0"),
    ("--timeout", "nan", "timeout must be more than 0 and finite, not nan"),
    (
        "--error-page",
        "os.sep",
        "error_page must be a function that takes a request and a cause, not '/'",
    ),
    ("--total-timeout", "0", "total_timeout must be more than 0 and finite, not 0.0"),
    ("--stall-timeout", "1m", "must be a number of seconds"),
    ("--timeout-header", "X Y", "timeout_header must be the name of a header, not 'X Y'"),
    ("--timeout-status", "late", "must be a status such as 504"),
    ("--timeout-status", "200", "timeout_status must be from 400 to 599, not 200"),
    ("--methods", "get", "methods must be names such as 'GET', not 'get'"),
    ("--keepalive", "2.5", "must be a whole number of seconds"),
    ("--keepalive", "1", "seconds must be from 2 to 65534, not 1"),
    ("--drain", "long", "must be a number of seconds"),
    ("--drain", "-1", "must be a finite number of seconds, 0 or more"),
    ("--drain", "inf", "must be a finite number of seconds, 0 or more"),
    ("--drain-delay", "1m", "must be a number of seconds"),
    ("--exit-after", "-1", "must be a finite number of seconds, 0 or more"),
    ("--status", "nowhere:80", "Unknown endpoint type: 'nowhere'"),
    (
        "--status-host",
        "http://status.example",
        "hosts must be names without a scheme or a port, not 'http://status.example'; write "
        "'status.example', for example",
    ),
    ("--on-cancel", "no.such", "'no.such' does not name an object"),
    ("--on-cancel", "os.nothing", "module 'os' has no attribute 'nothing'"),
    ("--on-cancel", "os.sep", "on_cancel must be a function that takes the scope, not '/'"),
    ("--observer", "nothing", "No module named 'nothing'"),
    ("--observer", "s3:put", "must be a dotted name, such as s3.put"),
    ("--on-cancel", "shop.s3:put", "must be a dotted name, such as shop.s3.put"),
    ("--error-page", "s3:put", "must be a dotted name, such as s3.put"),
    ("--class", "s3:Pages", "must be a dotted name, such as s3.Pages"),
    ("--observer", "s3/put.py", "must be a dotted name, such as package.module.name"),
    ("--observer", "os.sep", "observers must be functions that take the outcome, not '/'"),
    ("--class", "no.such", "'no.such' does not name an object"),
    ("--class", "os.sep", "'/' is not callable: name a function or a class"),
    ("--class", f"{__name__}.Shy", "missing a required argument: 'name'"),
    ("--wsgi", "os.sep", "'/' is not callable: name a function or a class"),
    ("--path", "/no/such", "[Errno 2] No such file or directory: '/no/such'"),
    ("--resource-script", "/no/such", "[Errno 2] No such file or directory: '/no/such'"),
    ("--add-header", "Server", "must be a name and a value, such as 'Server: mine'"),
    ("--listen", "tcp:http", "invalid literal for int() with base 10: 'http'"),
    ("--listen", "8080", "must be an endpoint, such as tcp:8080"),
    ("--port", "18200", "must be an endpoint, such as tcp:18200"),
    (
        "--processor",
        "rpy",
        "must be an extension and a class, such as .rpy=package.Processor",
    ),
    ("--processor", ".rpy=os.sep", "'/' is not callable: name a function or a class"),
]
"""An option, what it is given, and what is said of that."""


class WrongOptionTests(SynchronousTestCase):
    """Wrong options, each of which ends the program with one line."""

    def line(self, *arguments: str) -> str:
        """The line that is written to standard error before the program ends with status 1."""
        # Python itself writes what is not a number, and makes the status 1.
        line = self.assertRaises(SystemExit, parsed, *arguments).code
        assert isinstance(line, str)
        self.assertEqual(len(line.splitlines()), 1, line)
        return line

    def test_each_is_one_clear_line(self) -> None:
        """A wrong option ends with one line: the option, what it was given, and the reason."""
        for option, given, reason in WRONG:
            self.assertEqual(self.line(option, given), f"cancelweb: {option} {given}: {reason}")

    def test_class_that_is_no_resource(self) -> None:
        """A ``--class`` that makes no resource ends with one line that says so."""
        line = self.line("--class", f"{__name__}.NotAResource")
        self.assertIn("CancellingResource wraps a resource, not <", line)

    def test_what_twisted_finds(self) -> None:
        """What Twisted says of a wrong option is one line, without a list of all options."""
        self.assertEqual(self.line("--none"), "cancelweb: option --none not recognized")
        self.assertEqual(self.line("file"), "cancelweb: Wrong number of arguments.")
        line = self.line("--mime-type", "text/plain")
        self.assertEqual(line, "cancelweb: You can only use --mime_type after --path.")

    def test_misspelt_options(self) -> None:
        """The line about an unknown option suggests the one that was probably meant."""
        for wrong, meant in MISSPELT.items():
            expected = f"cancelweb: option {wrong} not recognized. Did you mean {meant}?"
            self.assertEqual(self.line(wrong, "3"), expected)

    def test_certificate_that_is_none(self) -> None:
        """A ``--listen`` with a file that is not a certificate shows the TLS library's error."""
        line = self.line("--listen", f"ssl:0:privateKey={Path(__file__).resolve()}")
        self.assertRegex(line, r"^cancelweb: --listen ssl:0:privateKey=.*: Error\(")

    def test_certificate_without_pyopenssl(self) -> None:
        """A ``--listen`` with TLS and without pyOpenSSL says what to install."""
        for missing, advice in {
            "OpenSSL": ": TLS needs pyOpenSSL, so install cancelweb[tls]",
            "other": "",
        }.items():
            error = ModuleNotFoundError(f"No module named '{missing}'", name=missing)
            self.patch(values, "serverFromString", Mock(side_effect=error))
            self.assertEqual(
                self.line("--listen", "ssl:0"),
                f"cancelweb: --listen ssl:0: No module named '{missing}'{advice}",
            )


class OptionsTests(SynchronousTestCase):
    """What each option does to a server."""

    def setUp(self) -> None:
        """Forget what earlier hooks and observers have noted."""
        told.clear()
        self.addCleanup(told.clear)

    def connection(self, handler: Any, *arguments: str) -> Connection:
        """A client of the handler under a server with these options."""
        return connect(parsed(*arguments).wrapped(Page(handler), Monitor(Clock())))

    def test_all_of_twist_web(self) -> None:
        """Every option of `twist web` is an option of `twist cancelweb`."""
        theirs, ours = twisted_tap.Options(), tap.Options()
        self.assertLess(set(theirs.longOpt), set(ours.longOpt))
        self.assertLessEqual(set(theirs.shortOpt), set(ours.shortOpt))

    def test_twisteds_own_do_what_they_do(self) -> None:
        """Options of Twisted's own, which we check first, are passed on to Twisted."""
        options = parsed(
            *("--path", ".", "--processor", ".sh=twisted.web.twcgi.CGIScript"),
            *("--add-header", "Server: mine"),
        )
        self.assertIs(options["root"].processors[".sh"], CGIScript)
        self.assertEqual(options["extraHeaders"], [("Server", "mine")])

    def test_help_tells_of_each(self) -> None:
        """The help has a text for each option."""
        for line in str(tap.Options()).splitlines():
            self.assertNotRegex(line, r"^ +--[\w-]+=?$")

    def test_timeout(self) -> None:
        """With ``--timeout``, a request that takes longer is answered 503."""
        connection = self.connection(waiting, "--timeout", "2.5")
        connection.get()
        connection.client.clock.advance(2.5)
        self.assertEqual(connection.response.code, 503)

    def test_timeout_status(self) -> None:
        """With ``--timeout-status``, the answer to a request that takes longer has this status."""
        connection = self.connection(waiting, "--timeout", "2.5", "--timeout-status", "504")
        connection.get()
        connection.client.clock.advance(2.5)
        self.assertEqual(connection.response.code, 504)

    def test_error_page(self) -> None:
        """With ``--error-page``, the named function makes the page for a request that timed out."""
        name = f"{__name__}.error_page"
        connection = self.connection(waiting, "--timeout", "2.5", "--error-page", name)
        connection.get()
        connection.client.clock.advance(2.5)
        self.assertEqual(connection.response.body, b"timed out after 2.5 s (timeout)")

    def test_other_limits(self) -> None:
        """With ``--total-timeout`` or ``--timeout-header``, a slow request is answered 503."""
        for option, value in (("--total-timeout", "2.5"), ("--timeout-header", "X")):
            connection = self.connection(waiting, option, value)
            connection.get(headers={b"X": b"2.5"})
            connection.client.clock.advance(2.5)
            self.assertEqual(connection.response.code, 503)

    def test_stall_timeout(self) -> None:
        """With ``--stall-timeout``, the connection of a client that reads nothing is aborted."""

        def begin(request: Request) -> object:
            request.write(b".")
            return Deferred()

        connection = self.connection(begin, "--stall-timeout", "2")
        connection.get()
        connection.pause(full=True)
        connection.client.clock.pump([2, 2])
        self.assertTrue(connection.is_aborted)

    def test_methods(self) -> None:
        """With ``--methods``, a disconnect cancels only requests of the named methods."""
        cancelled: list[Any] = []
        connection = self.connection(
            lambda request: Deferred(cancelled.append), "--methods", "POST,PUT"
        )
        connection.request(b"GET")
        connection.disconnect()
        self.assertEqual(len(cancelled), 0)
        connection = self.connection(
            lambda request: Deferred(cancelled.append), "--methods", "POST,PUT"
        )
        connection.request(b"PUT")
        connection.disconnect()
        self.assertEqual(len(cancelled), 1)

    def test_dry_run(self) -> None:
        """With ``--dry-run``, a disconnect is logged as one that would have cancelled."""
        events = log_events(self)
        work: Deferred[bytes] = Deferred()
        connection = self.connection(lambda request: work, "--dry-run")
        connection.get()
        connection.disconnect()
        self.assertFalse(work.called)
        work.callback(b"")
        (event,) = of_cancelweb(events)
        self.assertIsNotNone(event["outcome"].would_have_cancelled)

    def test_hooks_and_observers(self) -> None:
        """Functions named by ``--on-cancel`` and ``--observer`` are called, besides the log."""
        events = log_events(self)
        name = f"{__name__}.hook"
        connection = self.connection(
            waiting, "--on-cancel", name, "--on-cancel", name, "--observer", f"{__name__}.observer"
        )
        connection.get()
        connection.disconnect()
        cause, again, outcome = told
        self.assertIs(cause, again)
        assert isinstance(outcome, Outcome)
        self.assertIs(outcome.cause, cause)
        self.assertEqual(len(of_cancelweb(events)), 1)

    def test_access_log_499(self) -> None:
        """With ``--access-log-499``, the access log has a line with 499 for a client that left."""
        log = Path(self.mktemp())
        log.touch()
        resource = parsed("--access-log-499").wrapped(Page(waiting), Monitor(Clock()))
        clock: Any = Clock()
        site = Site(resource, logPath=str(log), reactor=clock)
        site.startFactory()
        self.addCleanup(site.stopFactory)
        connection = connect(site, clock)
        connection.get()
        connection.disconnect()
        self.assertIn('"GET / HTTP/1.1" 499 ', log.read_text())


class DocsTests(SynchronousTestCase):
    """What the docs say of the command line."""

    def setUp(self) -> None:
        """Change to the repository, where Python finds the examples and snippets."""
        here = Path.cwd()
        os.chdir(REPOSITORY)
        self.addCleanup(os.chdir, here)
        snippets = DOCS / "howto" / "snippets"
        self.patch(sys, "path", [str(EXAMPLES), str(snippets), *sys.path])

    def test_commands(self) -> None:
        """Each `twist cancelweb` command in the docs can be parsed."""
        shown = "".join(page.read_text() for page in [README, *PAGES])
        commands = re.findall(r"^ *(?:\$ )?(?:PYTHONPATH=\S+ )?twist cancelweb (.*)", shown, re.M)
        for command in commands:
            if command == "--timeout soon":
                continue
            self.assertIsNotNone(parsed(*shlex.split(command))["root"], command)
        self.assertGreater(len(commands), 3)

    def test_kubernetes(self) -> None:
        """The example for Kubernetes has options that exist, and a longer stop than they take."""
        page = (DOCS / "howto" / "run.rst").read_text()
        (args,) = re.findall(r" args: \[(.*)\]", page)
        options = parsed(*(each.strip('"') for each in args.split(", ")))
        self.assertEqual(options["status"], "tcp:9000:interface=0.0.0.0")
        (grace,) = re.findall(r"terminationGracePeriodSeconds: (\d+)", page)
        stop = options["drain-delay"] + options["drain"] + options["exit-after"]
        self.assertGreater(int(grace), stop)

    def test_table(self) -> None:
        """The table of options has each that `twist web` does not have, with its default."""
        page = (DOCS / "reference" / "options.rst").read_text()
        listed = re.findall(r"^ +(?:\* - |\| )``--([\w-]+)(?: \w+)?``\n     - (.*)$", page, re.M)
        ours = {name.rstrip("=") for name in tap.Options().longOpt}
        theirs = {name.rstrip("=") for name in twisted_tap.Options().longOpt}
        self.assertEqual({name for name, _ in listed}, ours - theirs)
        help_text = re.sub(r"\s+", " ", str(tap.Options()))
        shown = [each for each in listed if re.fullmatch("[0-9]+|[A-Z, ]+", each[1])]
        self.assertEqual(
            [name for name, _ in shown],
            ["timeout-status", "methods", "drain", "drain-delay", "exit-after"],
        )
        for name, default in shown:
            default = default.replace(" ", "")
            self.assertRegex(help_text, rf"--{name}= [^\[]*\[default: {default}\]")
