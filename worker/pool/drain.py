"""How long a pool that stops waits for its processes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic

from celery import signals

__all__ = ["Drain"]

logger = logging.getLogger(__name__)

#: A signal that repeats another within this time is the same order: ``timeout`` signals a process and then its group.
_SAME_ORDER_S = 1.0


class Drain:
    """Ends what runs when its time is up, or when the worker is told again to stop.

    Args:
        kill: ends all processes; called from a signal handler or another thread.
        limit_s: how long they may finish what they compute, in seconds; None for as long as it takes.
    """

    def __init__(self, kill: Callable[[], None], limit_s: float | None) -> None:
        self._kill = kill
        self._limit_s = limit_s
        self._ordered_at_s: float | None = None
        self._timer: threading.Timer | None = None
        self._is_over = False
        # Celery sends this from its signal handlers.
        signals.worker_shutting_down.connect(self._on_order, weak=True)

    def begin(self) -> None:
        """Begin to wait; does nothing if it has begun."""
        if self._limit_s is None or self._timer is not None:
            return
        waited_s = monotonic() - self._ordered_at_s if self._ordered_at_s is not None else 0.0
        self._timer = threading.Timer(max(0.0, self._limit_s - waited_s), self._on_time_up)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """All processes have ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _on_order(self, how: str, **_: object) -> None:
        if self._ordered_at_s is None:
            self._ordered_at_s = monotonic()
        elif how == "Warm" and monotonic() - self._ordered_at_s < _SAME_ORDER_S:
            return
        elif not self._is_over:
            self._is_over = True
            self._kill()

    def _on_time_up(self) -> None:
        logger.warning("what runs has not ended in %g s: it is given back, for another worker to begin", self._limit_s)
        self._kill()
