"""The worker's request without its settings, whose import is half of the start of a worker that does nothing."""

from __future__ import annotations

from typing import Any

from celery.worker.request import Request

__all__ = ["SurvivingRequest"]


class SurvivingRequest(Request):
    """See ``worker.intake.request.WorkerRequest``: its process outlives a lost connection."""

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        """Let the process finish what the broker delivers to another worker."""
        if not emit_retry:
            super().cancel(pool, signal, emit_retry=False)
        elif self.time_start is not None and not self._already_cancelled:
            self._announce_cancelled(emit_retry=False)

    def acknowledge(self) -> None:
        """Acknowledge the message, unless the broker has delivered it to another worker."""
        if not self._already_cancelled:
            super().acknowledge()
