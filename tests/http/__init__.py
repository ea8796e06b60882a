"""Requests and responses over HTTP/1.1 and HTTP/2, and the entry points.

Of the package: `_http`.
"""
