"""A password check in a child process, which ends with its client.

Run it::

    PYTHONPATH=examples twist web --class=pool.Login

`curl -d pw=secret http://localhost:8080/` takes a second or two, in which the server answers other
requests. Interrupt it: the child is gone at once. The next request starts another one.
"""

import hashlib
import os

from twisted.web.iweb import IRequest
from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect
from cancelweb.processes import Pool

pool = Pool(2)


def hashed(password: bytes) -> str:
    """Compute, in a child process, and lock up no thread of the server."""
    print(f"process {os.getpid()} computes", flush=True)
    return hashlib.pbkdf2_hmac("sha512", password, b"salt", 2_000_000).hex()


class Login(Resource):
    """Hashes the password of a form; at most two at a time."""

    isLeaf = True

    @cancel_on_disconnect
    async def render_POST(self, request: IRequest) -> bytes:
        """Wait for the result as for any other."""
        password = request.args[b"pw"][0]
        return (await pool.call(hashed, password)).encode() + b"\n"
