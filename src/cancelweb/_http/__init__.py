"""Requests and responses: the entry points, the answers, and the quirks of Twisted Web."""
