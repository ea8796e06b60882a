"""Scopes: the work, hooks, time limits and record of one request. No module here knows HTTP."""
