"""Headless Chromium for tests, driven over the DevTools protocol.

What belongs here: starting the browser, its tabs, and ways to call it and to wait for
what it tells. The protocol runs over two pipes (`--remote-debugging-pipe`): JSON with
a NUL behind each message, commands on the browser's file descriptor 3, replies and
events on 4. So a browser needs no port, and a test no further package.
"""

import json
from base64 import b64decode
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import Factory, define
from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from .._programs import find_program

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

Message = dict[str, Any]

NAMES = ("chromium", "chromium-browser", "google-chrome")

FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    # The sandbox does not work for root, nor in most containers.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    # Nothing but the test's own requests.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # The certificates that tests serve are made by themselves.
    "--ignore-certificate-errors",
)

LOADED = """
document.readyState === "complete" ||
    new Promise(done => addEventListener("load", () => done(true)))
"""


@define(eq=False)
class Chromium(ProcessProtocol):
    """A browser that is running."""

    _ended: Deferred[None] = Factory(Deferred)
    _output: bytes = b""
    _unread: bytes = b""
    _calls: int = 0
    _replies: dict[int, Deferred[Message]] = Factory(dict)
    _events: list[tuple[str, str, Deferred[Message]]] = Factory(list)

    def call(self, method: str, session: str | None = None, **params: object) -> Deferred[Message]:
        """Call a method of the DevTools protocol.

        Args:
            method: As in `Page.navigate`.
            session: The tab's; without it the call is to the browser itself.
            params: The method's parameters.

        Returns:
            A Deferred of the result. A call that the browser refuses fails.
        """
        assert self.transport is not None
        self._calls += 1
        message: Message = {"id": self._calls, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        reply = self._replies[self._calls] = Deferred()
        self.transport.writeToChild(3, json.dumps(message).encode() + b"\0")
        return reply

    def event(self, method: str, session: str) -> Deferred[Message]:
        """Wait for the next event of a tab, from now on."""
        awaited: Deferred[Message] = Deferred()
        self._events.append((method, session, awaited))
        return awaited

    async def tab(self) -> "Tab":
        """Open a tab, with nothing in it."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        tab = Tab(self, attached["sessionId"])
        await tab.call("Page.enable")
        await tab.call("Network.enable")
        return tab

    async def close(self) -> None:
        """Ask the browser to close, and wait until it has ended."""
        if self.transport is None or self._ended.called:
            return
        kill = reactor.callLater(10, self.transport.signalProcess, "KILL")
        # It may be gone before it has answered.
        with suppress(EOFError):
            await self.call("Browser.close")
        await self._ended
        if kill.active():
            kill.cancel()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Cut what the browser sends into messages."""
        if childFD != 4:
            self._output += data
            return
        *messages, self._unread = (self._unread + data).split(b"\0")
        for message in messages:
            self._receive(json.loads(message))

    def processEnded(self, reason: Failure) -> None:
        """Fail all that waits for the browser, with what the browser has written."""
        output = self._output.decode(errors="replace")
        replies = list(self._replies.values())
        for waiting in [*replies, *(awaited for *_, awaited in self._events)]:
            waiting.errback(EOFError(f"the browser has ended: {output}"))
        self._ended.callback(None)

    def _receive(self, message: Message) -> None:
        if "id" in message:
            self._reply(self._replies.pop(message["id"]), message)
        else:
            self._tell(message)

    def _reply(self, waiting: Deferred[Message], message: Message) -> None:
        if "error" in message:
            waiting.errback(RuntimeError(str(message["error"])))
        else:
            waiting.callback(message["result"])

    def _tell(self, message: Message) -> None:
        told = (message["method"], message.get("sessionId"))
        for entry in [entry for entry in self._events if entry[:2] == told]:
            self._events.remove(entry)
            entry[2].callback(message["params"])


@define(frozen=True)
class Tab:
    """A tab of a browser."""

    _browser: Chromium
    _session: str

    def call(self, method: str, **params: object) -> Deferred[Message]:
        """Call a method of the DevTools protocol on this tab."""
        return self._browser.call(method, self._session, **params)

    def event(self, method: str) -> Deferred[Message]:
        """Wait for the next event on this tab, from now on."""
        return self._browser.event(method, self._session)

    async def evaluate(self, expression: str) -> Any:
        """Run JavaScript in the page, and return its value, or that of its promise once it is kept.

        While the tab's next page is loading, this waits for it and runs in there.
        """
        reply = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        return reply["result"].get("value")

    async def load(self, url: str) -> None:
        """Go to a page, and wait until it has loaded."""
        await self.call("Page.navigate", url=url)
        # Not the event of the protocol: that may be the one of the page that was left.
        await self.evaluate(LOADED)

    async def start_loading(self, url: str) -> None:
        """Follow a link, and wait only until its request is on the wire."""
        on_the_wire = self.event("Network.requestWillBeSentExtraInfo")
        await self.evaluate(f"location.href = {json.dumps(url)}")
        await on_the_wire

    async def press(self, key: str) -> None:
        """Press a key, which reaches the page even while the next one is loading."""
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key)

    async def look(self, width: int, height: int, scheme: str = "light") -> None:
        """Give the window this size, and prefer a color scheme."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        await self.call("Emulation.setScrollbarsHidden", hidden=True)
        preferred = {"name": "prefers-color-scheme", "value": scheme}
        await self.call("Emulation.setEmulatedMedia", features=[preferred])

    async def picture(self) -> bytes:
        """What the tab shows, as a PNG."""
        shot = await self.call("Page.captureScreenshot", format="png")
        return b64decode(shot["data"])

    async def stop_loading(self) -> None:
        """Stop loading, as the button beside the address bar does."""
        await self.call("Page.stopLoading")


async def launch(test: TestCase) -> Chromium:
    """Start a browser with a new, empty profile for the length of a test."""
    program = find_program(NAMES, "apt-get install chromium")
    profile = Path(test.mktemp()).resolve()
    browser = Chromium()
    reactor.spawnProcess(
        browser,
        program,
        [program, *FLAGS, f"--user-data-dir={profile}"],
        env=None,
        childFDs={0: "w", 1: "r", 2: "r", 3: "w", 4: "r"},
    )
    test.addCleanup(browser.close)
    await browser.call("Browser.getVersion")
    return browser
