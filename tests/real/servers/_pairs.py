"""nginx and HAProxy in front of two instances, configured as the docs show.

What belongs here: the configurations of the docs, with the ports of a test. What does not: the
instances.
"""

import re
from collections.abc import Mapping

from attrs import frozen
from twisted.trial.unittest import TestCase

from ..._docs import DOCS, ROLLING
from ..._servers import Server
from ._fronts import NGINX_FILES, start_front

PAGE = DOCS / "howto" / "rolling-restart.rst"

_NGINX = (
    """
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr notice;
events {
}
http {
"""
    + NGINX_FILES
)


@frozen
class Ports:
    """Where an instance serves its site, and where its status page."""

    site: int
    status: int


@frozen
class Pair:
    """A proxy in front of two instances.

    Attributes:
        program: its name.
        configuration: as the docs show it.
    """

    program: str
    configuration: str

    def without(self, *settings: str) -> "Pair":
        """The same proxy without these settings."""
        return self.changed({setting: "" for setting in settings})

    def changed(self, changes: Mapping[str, str]) -> "Pair":
        """The same proxy with some of its settings changed."""
        text = self.configuration
        for before, after in changes.items():
            if before not in text:
                raise AssertionError(f"the docs have no {before!r}: {text}")
            text = text.replace(before, after)
        return Pair(self.program, text)

    async def start(self, test: TestCase, one: Ports, two: Ports) -> Server:
        """Start the proxy for the length of a test."""
        ports = {"8001": one.site, "8002": two.site, "9001": one.status, "9002": two.status}
        text = re.sub(r"\b[89]00[12]\b", lambda found: str(ports[found[0]]), self.configuration)
        # What remains are the braces of nginx and what the test fills in.
        text = text.replace("{", "{{").replace("}", "}}").replace("{{directory}}", "{directory}")
        text = re.sub(r"(listen |bind :)80\b", r"\1{port}", text)
        text = text.replace("bind :", "bind {host}:").replace("listen ", "listen {host}:")
        return await start_front(test, self.program, text, 0, {})


HAPROXY_SAFE = "http-request disable-l7-retry unless METH_GET"


def nginx_pair() -> Pair:
    """nginx, as the docs show it."""
    return Pair("nginx", _NGINX + ROLLING[0].read_text() + "}\n")


def haproxy_pair() -> Pair:
    """HAProxy, as the docs show it, but with checks every tenth of a second."""
    shown = Pair("haproxy", ROLLING[1].read_text())
    return shown.changed({"inter 1s": "inter 100"})


def repeating(pair: Pair) -> Pair:
    """The same proxy with the further settings of the docs, which have it repeat requests."""
    page = PAGE.read_text()
    if pair.program == "nginx":
        return pair.changed(_put_before("proxy_http_version", _shown(page, "proxy_next_upstream")))
    retries = pair.changed(_put_before("option redispatch", _shown(page, "retry-on")))
    return retries.changed(_put_before("option httpchk", _shown(page, HAPROXY_SAFE)))


def _shown(page: str, beginning: str) -> str:
    """The line of the page that begins like this."""
    [line] = re.findall(rf"^ +({re.escape(beginning)}.*)$", page, re.M)
    return str(line)


def _put_before(setting: str, line: str) -> dict[str, str]:
    return {setting: f"{line}\n  {setting}"}
