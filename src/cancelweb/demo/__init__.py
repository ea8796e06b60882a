"""The demonstration that ``python -m cancelweb`` gives; nothing else imports it.

No logic here. `work` has the kinds of work, `server` serves them, `clients` visits the server and
leaves, `report` puts into words what came of it. For ``--serve``: `jobs` has the work, `site` the
page and what feeds it, `serve` listens.
"""
