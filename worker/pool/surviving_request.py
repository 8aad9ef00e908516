"""Celery's request, changed to keep its process after a lost connection. For any app, as a task's ``Request``."""

from __future__ import annotations

from typing import Any

from celery.worker.request import Request

__all__ = ["SurvivingRequest"]


class SurvivingRequest(Request):
    """A request whose process outlives a lost connection."""

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
