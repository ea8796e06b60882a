"""Celery, Dask and RQ."""
