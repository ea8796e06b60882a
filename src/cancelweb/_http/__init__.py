"""Requests and responses: the entry points, answering, and what is peculiar to Twisted Web."""
