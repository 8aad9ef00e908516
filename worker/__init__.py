"""The Celery side: ``celery -A worker worker`` serves the configured models on pinned cores.

The app is made when it is first asked for: ``worker.pool`` and ``worker.transport`` serve any Celery app, which ours
must not take over.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.celery_app import app

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worker.celery_app import app as made

    globals()["app"] = made
    return made
