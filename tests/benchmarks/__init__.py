"""The programs in benchmarks/, in tiny runs."""
