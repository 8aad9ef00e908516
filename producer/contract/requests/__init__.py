"""The request schemas, one file a task."""
