"""The Celery side: ``celery -A worker worker`` serves the configured models on pinned cores."""

from worker.app import app

__all__ = ["app"]
