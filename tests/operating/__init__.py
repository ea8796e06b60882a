"""Running a site: drains, monitors, metrics, the status page, `twist cancelweb`.

Of the package: `_operating`, `monitor`, `observers`, `prometheus`, `status`, `tap`.
"""
