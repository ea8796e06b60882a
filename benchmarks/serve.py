"""One contender, in a process of its own: `python benchmarks/serve.py NAME`.

What is served, and by which event loop, stands in the modules that the roster names.
"""

from __future__ import annotations

import importlib
import socket
import sys

from control import Control, say
from ledger import Books, Ledger
from roster import ROSTER


def main(name: str) -> None:
    """Serve until the parent is gone."""
    module = importlib.import_module(ROSTER[name].module)
    books = Books(Ledger(), Ledger())
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listening.setblocking(False)
    say({"port": listening.getsockname()[1]})
    module.serve(name, books, listening, Control(books))


if __name__ == "__main__":
    main(sys.argv[1])
