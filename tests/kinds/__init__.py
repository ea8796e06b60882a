"""How each kind of work is recognised, stopped, described and found.

Of the package: `_kinds`.
"""
