"""Celery's request, changed to hide its arguments and to keep its process after a lost connection."""

from __future__ import annotations

from typing import Any

from celery.worker.request import Request as CeleryRequest

from worker.inference.hidden_result import HIDDEN
from worker.runtime import runtime_of

__all__ = ["WorkerRequest"]


class WorkerRequest(CeleryRequest):
    """A request that hides its arguments, and whose process outlives a lost connection."""

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        """Cancel the request, after a lost connection or in a cold shutdown.

        After a lost connection the broker delivers the message to another worker. Celery would kill the process, which
        would have to load its models again. Here it finishes: its answer is the same as the other worker's and may be
        stored. Only the other worker acknowledges the message.
        """
        # With late acknowledgement, Celery sets emit_retry only after a lost connection.
        if not emit_retry:
            super().cancel(pool, signal, emit_retry=False)
        elif self.time_start is not None and not self._already_cancelled:
            self._announce_cancelled(emit_retry=False)

    def acknowledge(self) -> None:
        """Acknowledge the message, unless the broker has delivered it to another worker."""
        if not self._already_cancelled:
            super().acknowledge()

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What ``inspect active`` and ``inspect reserved`` show."""
        info: dict[str, Any] = super().info(safe=safe)
        if not runtime_of(self._app).settings.show_request_text:
            info["args"], info["kwargs"] = [], HIDDEN
        return info
