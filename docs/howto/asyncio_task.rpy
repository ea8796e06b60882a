"""Do two things at the same time with asyncio, for at most two seconds.

Run it on Twisted's asyncio reactor, in the directory of this file::

    twist --reactor=asyncio web --path .
"""

import asyncio

from twisted.web.resource import Resource

from cancelweb import cancel_on_disconnect


class Page(Resource):
    @cancel_on_disconnect
    def render_GET(self, request):
        return asyncio.ensure_future(self._page())

    async def _page(self):
        async with asyncio.timeout(2), asyncio.TaskGroup() as group:
            head = group.create_task(self._part(b"<h1>Weather</h1>\n"))
            rest = group.create_task(self._part(b"<p>Rain.</p>\n"))
        return head.result() + rest.result()

    async def _part(self, text):
        await asyncio.sleep(0.5)
        return text


resource = Page()
