"""``celery -A benchmarks.lone_marks``: the worker's own app, which notes when a request passes its stations.

Lines of ``$LONE_MARKS`` are moments, in seconds since 1970, and stations.
"""

from __future__ import annotations

import functools
import os
import time
from typing import Any

from models.engine.engine import Engine
from worker import app
from worker.pool import execute
from worker.pool.dispatcher import Dispatcher
from worker.transport.fetcher import Fetcher

__all__ = ["app"]

#: Class or module, function, the station before it runs and the one after, if it is one.
_WRAPPED: tuple[tuple[Any, str, str, str], ...] = (
    (Fetcher, "_on_push", "the server has woken the parent", ""),
    (Fetcher, "_take_reply", "the fetch is answered", ""),
    (Dispatcher, "_submit", "Celery's strategy and our checks are done", "the batch is handed to the pool"),
    (execute, "_compute", "the process has it", "the answers are there"),
    (Engine, "_pack", "tokenized", ""),
    (Engine, "_count", "the model is done", ""),
    (execute, "_trace", "", "Celery's tracer is done"),
)
_file = os.open(os.environ["LONE_MARKS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def _mark(station: str) -> None:
    if station:
        os.write(_file, f"{time.time():.6f} {station}\n".encode())


def _wrap(owner: Any, name: str, before: str, after: str) -> None:
    function = getattr(owner, name)

    @functools.wraps(function)
    def marked(*args: Any, **kwargs: Any) -> Any:
        _mark(before)
        result = function(*args, **kwargs)
        _mark(after)
        return result

    setattr(owner, name, marked)


for _entry in _WRAPPED:
    _wrap(*_entry)
