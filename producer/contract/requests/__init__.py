"""The request schemas, one file per task."""
