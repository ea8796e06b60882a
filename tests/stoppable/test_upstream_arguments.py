"""What users pass to a CancellingAgent, and to stream_body.

What belongs here: wrong types, which are refused at once. What does not: the ``timeout_header``,
which is in `test_upstream_time_left`.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent
from twisted.web.resource import Resource

from cancelweb.upstream import CancellingAgent, stream_body


class AgentTests(SynchronousTestCase):
    """The arguments of a CancellingAgent, and of stream_body."""

    def test_no_agent(self) -> None:
        """Anything but an agent is a TypeError that says what to pass."""
        agent: Any = CancellingAgent
        wrong: list[Any] = [None, 80, "agent", Agent, Deferred(), Resource()]
        for value in wrong:
            error = self.assertRaises(TypeError, agent, value)
            self.assertIn("agent must provide IAgent", str(error))
            self.assertIn("twisted.web.client.Agent(reactor)", str(error))
            self.assertIn(repr(value)[:50], str(error))

    def test_no_response(self) -> None:
        """Anything but a response is a TypeError that says what to pass."""
        stream: Any = stream_body
        for value in [None, 80, b"body", Agent(MemoryReactorClock())]:
            error = self.assertRaises(TypeError, stream, value)
            self.assertIn("response must provide IResponse", str(error))
        error = self.assertRaises(TypeError, stream, Deferred())
        self.assertIn("Await it first", str(error))
