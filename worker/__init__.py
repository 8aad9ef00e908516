"""The Celery side: ``celery -A worker worker`` serves the configured models on pinned cores.

The app is made on first access: ``worker.pool`` and ``worker.transport`` serve any Celery app, and importing them must
not make ours the current app.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.celery_app import app

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worker.celery_app import app as celery_app

    globals()["app"] = celery_app
    return celery_app
