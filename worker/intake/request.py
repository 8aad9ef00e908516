"""Celery's view of one message: how much is held, and what may be shown of it."""

from __future__ import annotations

from typing import Any

from celery.worker.request import Request as CeleryRequest

__all__ = ["HIDDEN", "Request"]

#: Stands for arguments wherever they would be shown.
HIDDEN = "<hidden>"


class Request(CeleryRequest):
    """A request that keeps its arguments to itself, and whose process outlives a lost connection."""

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        """The connection to the broker is lost, which gives this request to another worker; or a cold shutdown.

        After a loss Celery kills the process, which would have to load its models again. The answer that it is
        computing is the one that the other worker will give, so it may as well be stored; the message is another's to
        acknowledge.
        """
        # Celery asks for a retry in the first case only, as long as messages are acknowledged late.
        if not emit_retry:
            super().cancel(pool, signal, emit_retry=False)
        elif self.time_start is not None and not self._already_cancelled:
            self._announce_cancelled(emit_retry=False)

    def acknowledge(self) -> None:
        """Acknowledge, once, what is still this worker's."""
        if not self._already_cancelled:
            super().acknowledge()

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What ``inspect active`` and ``inspect reserved`` show."""
        info: dict[str, Any] = super().info(safe=safe)
        if not self._app.celeriac_settings.show_request_text:
            info["args"], info["kwargs"] = [], HIDDEN
        return info
