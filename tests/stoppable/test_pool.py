"""`cancelweb.processes.Pool` without children: what it refuses, and what a child does.

What belongs here: arguments, and the program of the children as functions of this process. What
does not: children (`real.system.test_pool*`).
"""

import fcntl
import os
import pickle
import signal
import sys
from collections.abc import Callable
from functools import partial
from io import BytesIO, StringIO
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cancelweb._kinds.where import Place
from cancelweb._stoppable import pool_child
from cancelweb._stoppable.groups import Group
from cancelweb._stoppable.leaders import Leader
from cancelweb._stoppable.pool_calls import message_of, name_of
from cancelweb._stoppable.pool_child import (
    ERROR,
    HEAD,
    READY,
    RESULT,
    called,
    end_with,
    framed,
    serve,
)
from cancelweb.processes import Pool, defer_to_process


def double(number: int) -> int:
    """Return a result."""
    return 2 * number


def leave() -> None:
    """Raise what must not end the server."""
    raise SystemExit(3)


class Odd(Exception):
    """An exception that cannot be made from its pickle."""

    def __init__(self, one: object, two: object) -> None:
        super().__init__("odd")


def fail_oddly() -> None:
    """Raise it."""
    raise Odd(1, 2)


def answer_of(f: Callable[..., Any], *args: Any) -> tuple[bytes, Any]:
    """What a child answers to a call."""
    message = called(message_of(f, args, {}), {})
    return message[:1], pickle.loads(message[1:])


class ArgumentTests(SynchronousTestCase):
    """Arguments that a pool refuses."""

    def test_maximum(self) -> None:
        """There must be a child at least."""
        with self.assertRaisesRegex(ValueError, "max_children must be 1 or more, not 0"):
            Pool(0)

    def test_reactor(self) -> None:
        """The reactor must watch file descriptors, which a clock does not."""
        reactor: Any = Clock()
        with self.assertRaisesRegex(TypeError, "reactor must provide IReactorFDSet"):
            Pool(reactor=reactor)

    def test_no_function(self) -> None:
        """A call needs a function."""
        function: Any = b"double"
        for call in Pool().call, defer_to_process:
            with self.assertRaisesRegex(TypeError, "f must be a function, not b'double'"):
                call(function)

    def test_local_function(self) -> None:
        """A function that a child could not import is refused, with its place."""
        text = r"<lambda> at \S+test_pool.py:\d+ cannot be called in a child process, .*Define"
        with self.assertRaisesRegex(TypeError, text):
            Pool().call(lambda: None)

    def test_argument(self) -> None:
        """An argument that cannot be pickled is refused."""
        text = r"an argument of \S+test_pool.double cannot be pickled and sent to a child process: "
        with self.assertRaisesRegex(TypeError, text):
            Pool().call(double, number=Event())  # type: ignore[arg-type]

    def test_close_without_children(self) -> None:
        """A pool that made no call closes at once."""
        pool = Pool()
        self.successResultOf(pool.close())
        self.failureResultOf(pool.call(double, 1), RuntimeError)


class NameTests(SynchronousTestCase):
    """How calls are named."""

    def test_names(self) -> None:
        """A name has the module, if Python knows it, and that of the function in a partial."""
        self.assertEqual(name_of(double), f"{__name__}.double")
        self.assertEqual(name_of(partial(partial(double), 1)), f"{__name__}.double")
        self.assertEqual(name_of("a".upper), "str.upper")


class CalledTests(SynchronousTestCase):
    """What a child answers to one call."""

    def test_result(self) -> None:
        """The result, pickled."""
        self.assertEqual(answer_of(double, 3), (RESULT, 6))

    def test_raised(self) -> None:
        """An exception, with its traceback as text and in parts."""
        kind, (data, _, text, frames) = answer_of(double, None)
        self.assertEqual(kind, ERROR)
        self.assertIsInstance(pickle.loads(data), TypeError)
        self.assertIn("in double\n    return 2 * number", text)
        line = double.__code__.co_firstlineno + 2
        self.assertEqual(frames, [(__file__, line, "double")])

    def test_only_in_words(self) -> None:
        """An exception that would not arrive, or would end the server, is sent in words."""
        for f, text in (
            (fail_oddly, f"fail_oddly raised {__name__}.Odd: odd, which cannot be pickled"),
            (leave, "leave raised SystemExit: 3"),
        ):
            _, (data, words, _, _) = answer_of(f)
            self.assertEqual((data, words), (None, f"{__name__}.{text}"))

    def test_result_that_cannot_be_sent(self) -> None:
        """A result that cannot be pickled is an error."""
        _, (data, words, _, _) = answer_of(Event)
        self.assertIsNone(data)
        self.assertIn("threading.Event returned a Event, which cannot be pickled: ", words)

    def test_cannot_be_loaded(self) -> None:
        """A function that is not there is an error in words."""
        call = pickle.dumps((double, (), {})).replace(b"double", b"triple")
        _, words, _, _ = pickle.loads(called(pickle.dumps(("page.triple", call)), {})[1:])
        self.assertIn("page.triple or an argument could not be loaded in a child process: ", words)


class ScriptTests(SynchronousTestCase):
    """Functions of the server's script."""

    def called(self, script: str) -> Any:
        """What comes of a call of the function `f` of a script, and the rest of its facts."""
        for name in "__main__", "__mp_main__":
            if name in sys.modules:
                self.addCleanup(sys.modules.__setitem__, name, sys.modules[name])
            else:
                self.addCleanup(sys.modules.pop, name, None)
        path = self.mktemp() + ".py"
        Path(path).write_text(script)
        main = {"init_main_from_path": os.path.abspath(path)}
        call = b"(c__main__\nf\n(t(dt."
        message = called(pickle.dumps(("__main__.f", call)), main)
        return message[:1], pickle.loads(message[1:]), main

    def test_imported(self) -> None:
        """The script is imported, once, under another name."""
        kind, result, main = self.called("def f(): return __name__")
        self.assertEqual((kind, result, main), (RESULT, "__mp_main__", {}))

    def test_starts_a_reactor(self) -> None:
        """A script that starts the reactor is refused, with what to change."""
        text = "from twisted.internet import reactor\nreactor.run()"
        kind, (_, words, _, _), main = self.called(text)
        self.assertEqual(kind, ERROR)
        self.assertIn("RuntimeError: the script would start a second reactor here. ", words)
        self.assertIn('must be below `if __name__ == "__main__":`', words)
        self.assertEqual(len(main), 1)


class ServeTests(SynchronousTestCase):
    """What a child does until its connection is closed."""

    def test_calls(self) -> None:
        """A child is told the paths, says that it is ready, and answers each call."""
        path, arguments = [*sys.path], [*sys.argv]
        facts = {"main": {}, "sys_path": path, "sys_argv": arguments}
        calls = [message_of(double, (each,), {}) for each in (1, 2)]
        sent: list[bytes] = []
        asked = b"".join(map(framed, [pickle.dumps(facts), *calls]))
        serve(BytesIO(asked), sent.append)
        self.assertEqual((sys.path, sys.argv), (path, arguments))
        self.assertEqual(sent[0], framed(READY))
        self.assertEqual([pickle.loads(each[HEAD + 1 :]) for each in sent[1:]], [2, 4])

    def test_fork(self) -> None:
        """A fork that returns from its function ends, says so, and sends nothing."""
        facts = {"main": {}, "sys_path": [*sys.path], "sys_argv": [*sys.argv]}
        messages = [pickle.dumps(facts), message_of(double, (1,), {})]
        sent: list[bytes] = []
        self.patch(os, "getpid", iter([1, 2]).__next__)
        self.patch(os, "_exit", sys.exit)
        said = StringIO()
        self.patch(sys, "stderr", said)
        with self.assertRaisesRegex(SystemExit, "1"):
            serve(BytesIO(b"".join(map(framed, messages))), sent.append)
        self.assertEqual(sent, [framed(READY)])
        self.assertIn("returned from its function", said.getvalue())


class EndTests(SynchronousTestCase):
    """The end of the server, as a child sees it."""

    def setUp(self) -> None:
        self.killed, self.signals = Event(), list[tuple[int, int]]()

        def killpg(group: int, number: int) -> None:
            self.signals.append((group, number))
            self.killed.set()

        self.patch(os, "killpg", killpg)
        self.server, self.pipe = os.pipe()
        self.addCleanup(os.close, self.server)
        self.addCleanup(self.end_server)

    def end_server(self) -> None:
        """Close the server's end of the pipe."""
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1

    def test_before(self) -> None:
        """If the server has ended already, the child and its group end."""
        # In earnest, the kernel would end this process.
        self.patch(fcntl, "fcntl", lambda *_: 0)
        end_with(self.server)
        self.assertEqual(self.signals, [])
        self.end_server()
        end_with(self.server)
        self.assertEqual(self.signals, [(os.getpgrp(), signal.SIGKILL)])

    def test_elsewhere(self) -> None:
        """Where the kernel sends no signal, a thread waits for the end of the server."""
        self.patch(pool_child, "fcntl", SimpleNamespace())
        end_with(self.server)
        self.assertEqual(self.signals, [])
        self.end_server()
        self.assertTrue(self.killed.wait(10))
        self.assertEqual(self.signals, [(os.getpgrp(), signal.SIGKILL)])


class GroupTests(SynchronousTestCase):
    """Groups that are killed when their reactor stops."""

    def test_gone_once(self) -> None:
        """A group that is killed while its end is awaited has ended once."""
        clock, gone = Clock(), list[None]()
        leader = Leader.start(["true"])
        group = Group(clock, leader, 3, Place("a group"), lambda: gone.append(None))
        os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOWAIT)
        group.stop()
        group.exited()
        group.kill_now()
        group.block_until_gone()
        clock.advance(0)
        self.assertEqual(gone, [None])
        self.assertEqual(clock.getDelayedCalls(), [])
        leader.collect()
        for each in leader.stdin, leader.stdout, leader.stderr:
            assert each is not None
            each.close()


if sys.platform == "win32":
    EndTests.skip = "process groups are needed"  # type: ignore[attr-defined]
