"""Crowds of clients."""
