"""The sweep: its runs, what they look at, and its report.

The clock and the client that it uses are those of the package around.
"""
