"""The Celery side: ``celery -A worker worker`` serves the configured models on pinned cores.

``worker.app`` is made when it is asked for: another Celery app may use ``worker.pool`` or ``worker.transport`` alone.
"""

from typing import Any

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    if name == "app":
        from worker.celery_app import app

        globals()[name] = app
        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
