"""Celery's view of one message: how long it took, and what may be shown of it."""

from __future__ import annotations

import time
from typing import Any

from celery.worker.request import Request as CeleryRequest

from worker.held_work import estimator

__all__ = ["HIDDEN", "Request"]

#: Stands for arguments wherever they would be shown.
HIDDEN = "<hidden>"


class Request(CeleryRequest):
    """A request that measures itself when it is done and keeps its arguments to itself."""

    def acknowledge(self) -> None:
        """Acknowledge, once; with late acknowledgement this is the end of the request."""
        if not self.acknowledged and self.time_start is not None:
            estimator.observe(len(self.body), time.time() - self.time_start)
        super().acknowledge()

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What ``inspect active`` and ``inspect reserved`` show."""
        info: dict[str, Any] = super().info(safe=safe)
        if not self._app.celeriac_settings.show_request_text:
            info["args"], info["kwargs"] = [], HIDDEN
        return info
