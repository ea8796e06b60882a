"""The page that shows a `Monitor`, for the people on call. No logic here.

`_facts` reads the monitor, `_page` makes HTML of what was read, `_resource` serves it. What a
browser is given besides lies here as it is: ``page.xml``, ``style.css``, ``page.js``, ``icon.svg``.
"""

from __future__ import annotations

from ._resource import StatusResource

__all__ = ["StatusResource"]
