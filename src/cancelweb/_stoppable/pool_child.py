"""The program of a pool's child process: it calls one function after the other.

`workers` runs this file as a script. Importing cancelweb, and with it Twisted, would take ten times
as long as starting Python, so this module imports the standard library only.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from io import BytesIO
from typing import IO, Any, cast

HEAD = 8
"""How many bytes before a message tell its length."""

READY, RESULT, ERROR = b"+", b"r", b"e"
"""The first byte of a message to the server. What follows is nothing, the pickled result, or a
`Raised`."""

Raised = tuple[bytes | None, str, str, list[tuple[str, int, str]]]
"""The pickled exception, or None and words in place of it; its traceback; the frames of that, the
outermost first: file, line and function."""

MAIN = ("__main__", "__mp_main__")
"""The names under which the server's script is known: to itself, and here to multiprocessing."""


def framed(message: bytes) -> bytes:
    """A message with its length."""
    return len(message).to_bytes(HEAD, "big") + message


# --- the script of the server ---


class Unpickler(pickle.Unpickler):
    """Imports the server's script only if a function or a class of it is needed.

    Most scripts of a server import more than a function needs. Those without
    ``if __name__ == "__main__":`` would start a second server.
    """

    def __init__(self, data: bytes, main: dict[str, str]) -> None:
        super().__init__(BytesIO(data))
        self._main = main

    def find_class(self, module: str, name: str) -> Any:
        if module in MAIN and self._main:
            _import_main(self._main)
        return super().find_class(module, name)


def _import_main(main: dict[str, str]) -> None:
    # A server has imported Twisted already, and so does its script.
    from multiprocessing import spawn

    from twisted.internet.base import ReactorBase

    start, starter = ReactorBase.startRunning, cast(Any, ReactorBase)
    starter.startRunning = _refuse
    try:
        spawn.prepare(main)
        main.clear()
    finally:
        starter.startRunning = start


def _refuse(*_: object, **__: object) -> None:
    raise RuntimeError("the script would start a second reactor here")


# --- the end of the server ---


def end_with(server: int) -> None:
    """Have this process and its group killed when the server has ended, whatever they do.

    Linux itself sends the signal, so that it also ends a function that never lets another thread
    run, such as a long match of a regular expression.

    Args:
        server: the end of a pipe whose other end only the server holds.
    """
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(server, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(server, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(server, fcntl.F_GETFL)
        fcntl.fcntl(server, fcntl.F_SETFL, flags | os.O_ASYNC)
        if select.select([server], [], [], 0)[0]:
            _kill_group()
    else:
        threading.Thread(target=_await_end, args=[server], daemon=True).start()


def _await_end(server: int) -> None:
    os.read(server, 1)
    _kill_group()


def _kill_group() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)


# --- calls ---


def serve(receive: IO[bytes], send: Callable[[bytes], object]) -> None:
    """Call what the server asks for, until it closes the connection.

    Args:
        receive: has the facts about the server, and then the calls.
        send: sends bytes to the server.
    """
    facts = pickle.loads(_received(receive))
    sys.path[:], sys.argv[:] = facts["sys_path"], facts["sys_argv"]
    main, process = facts["main"], os.getpid()
    send(framed(READY))
    while message := _received(receive):
        answer = framed(called(message, main))
        if os.getpid() != process:
            _end_fork()
        send(answer)


def _end_fork() -> None:
    # Its answer would be taken for that of the next call.
    text = f"a fork of a pool's process {os.getppid()} returned from its function. End it there.\n"
    sys.stderr.write(text)
    os._exit(1)


def _received(receive: IO[bytes]) -> bytes:
    return receive.read(int.from_bytes(receive.read(HEAD), "big"))


def called(message: bytes, main: dict[str, str]) -> bytes:
    """Make a call, and return the message about its end.

    Args:
        message: the pickled name of the function, and the pickled call.
        main: how to import the server's script; emptied when it was imported.
    """
    name, call = pickle.loads(message)
    try:
        f, args, kwargs = Unpickler(call, main).load()
    except BaseException as error:
        return _raised(error, _advice(name, error))
    try:
        result = f(*args, **kwargs)
    except Exception as error:
        return _raised(error, f"{name} raised {_shown(error)}, which cannot be pickled", True)
    except BaseException as error:
        # It ends the function, but must not end the server.
        return _raised(error, f"{name} raised {_shown(error)}")
    try:
        return RESULT + pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        kind = type(result).__qualname__
        return _raised(error, f"{name} returned a {kind}, which cannot be pickled: {error}")


def _advice(name: str, error: BaseException) -> str:
    text = f"{name} or an argument could not be loaded in a child process: {_shown(error)}"
    if not name.startswith("__main__."):
        return text
    return (
        f"{text}. The child imports the server's script, so whatever starts the server must be "
        'below `if __name__ == "__main__":`. Or put the function into a module.'
    )


def _raised(error: BaseException, text: str, is_passed_on: bool = False) -> bytes:
    # The first frame is that of this module.
    frames = traceback.extract_tb(error.__traceback__)[1:]
    lines = [(each.filename, each.lineno or 0, each.name) for each in frames]
    printed = "".join(traceback.format_exception(error))
    raised: Raised = (_pickled(error) if is_passed_on else None, text, printed, lines)
    return ERROR + pickle.dumps(raised)


def _pickled(error: BaseException) -> bytes | None:
    """The exception, if the server can load it: some can be pickled, but not be made again."""
    try:
        data = pickle.dumps(error, pickle.HIGHEST_PROTOCOL)
        pickle.loads(data)
    except Exception:
        return None
    return data


def _shown(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


def main() -> None:
    """Serve the server, whose connection is the file descriptor in the first argument."""
    server = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    end_with(server)
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    serve(connection.makefile("rb"), connection.sendall)


if __name__ == "__main__":
    main()
