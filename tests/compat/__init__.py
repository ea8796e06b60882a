"""Other people's test-suites, run plain and wrapped: `python -m tests.compat`.

What belongs here: running the suites of `twisted.web` and of Klein, and comparing. What does
not: tests of our own, which trial finds in the package above.
"""
