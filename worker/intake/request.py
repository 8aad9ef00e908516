"""The request of our worker: one whose process outlives a lost connection, and which hides its arguments."""

from __future__ import annotations

from typing import Any

from worker.inference.hidden_result import HIDDEN
from worker.pool.surviving_request import SurvivingRequest
from worker.runtime import runtime_of

__all__ = ["WorkerRequest"]


class WorkerRequest(SurvivingRequest):
    """A request that hides its arguments."""

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What ``inspect active`` and ``inspect reserved`` show."""
        info: dict[str, Any] = super().info(safe=safe)
        if not runtime_of(self._app).settings.show_request_text:
            info["args"], info["kwargs"] = [], HIDDEN
        return info
