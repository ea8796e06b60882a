"""The dashboard for Grafana, and the queries in it and in the docs.

What belongs here: reading them. What does not: what Prometheus or Grafana make of them.
"""

import json
import re
from typing import Any

from .._docs import DOCS, EXAMPLES


def dashboard() -> Any:
    """The example dashboard for Grafana, as JSON."""
    return json.loads((EXAMPLES / "grafana_dashboard.json").read_text())


def targets(of: Any) -> list[str]:
    """The queries of a dashboard's panels."""
    return [target["expr"] for panel in of["panels"] for target in panel["targets"]]


def queries(of: Any) -> list[str]:
    """The queries of a dashboard's panels and of its variables."""
    variables = [
        each["query"]["query"] for each in of["templating"]["list"] if each["type"] == "query"
    ]
    return variables + targets(of)


def queries_of_docs() -> list[str]:
    """The queries that the how-to shows."""
    page = (DOCS / "howto" / "prometheus.rst").read_text()
    return re.findall(r"^\.\. code-block:: text\n\n   (.+)$", page, re.M)
