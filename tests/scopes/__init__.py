"""How requests are tied to work: scopes, states, hooks, limits, and what is told of them.

Of the package: `_scopes` and `causes`.
"""
