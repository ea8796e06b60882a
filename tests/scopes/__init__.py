"""How requests are tied to work: scopes, states, hooks, limits, and what is told about them.

Of the package: `_scopes` and `causes`.
"""
