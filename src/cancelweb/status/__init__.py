"""The page that shows a `Monitor` to operators. No logic here.

`_facts` reads the monitor, `_page` makes HTML of the facts, and `_resource` serves it. The
templates are ``page.html`` and ``rows.html``. The browser gets ``style.css``, ``page.js`` and
``icon.svg``.
"""

from __future__ import annotations

from ._resource import StatusResource
from ._site import QuietSite

__all__ = ["QuietSite", "StatusResource"]
