"""Measurements; each prints a table, and its figures are in ``docs/performance.md``."""
