"""Programs as users write them, checked by mypy and pyright; run by `nox -s typing`.

Of the package: its types.
"""
