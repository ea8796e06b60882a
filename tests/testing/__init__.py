"""The test kit for users.

Of the package: `testing`.
"""
