"""Celery's view of one message: what may be shown of it, and what a lost connection does to it."""

from __future__ import annotations

from typing import Any

from celery.worker.request import Request as CeleryRequest

from worker.inference.hidden_result import HIDDEN
from worker.runtime import runtime_of

__all__ = ["WorkerRequest"]


class WorkerRequest(CeleryRequest):
    """A request that hides its arguments, and whose process outlives a lost connection."""

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        """Cancel after a lost connection, which gives this request to another worker, or in a cold shutdown.

        After a loss Celery kills the process, which would have to load its models again. The answer that it is
        computing is the one that the other worker will give, so it may as well be stored; the message is the other
        worker's to acknowledge.
        """
        # Celery asks for a retry after a lost connection only, as long as messages are acknowledged late.
        if not emit_retry:
            super().cancel(pool, signal, emit_retry=False)
        elif self.time_start is not None and not self._already_cancelled:
            self._announce_cancelled(emit_retry=False)

    def acknowledge(self) -> None:
        """Acknowledge, once, unless the message is another worker's by now."""
        if not self._already_cancelled:
            super().acknowledge()

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What ``inspect active`` and ``inspect reserved`` show."""
        info: dict[str, Any] = super().info(safe=safe)
        if not runtime_of(self._app).settings.show_request_text:
            info["args"], info["kwargs"] = [], HIDDEN
        return info
