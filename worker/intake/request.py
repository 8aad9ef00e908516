"""The request of our worker: it can be cancelled, hides its arguments, and its process outlives a lost connection."""

from __future__ import annotations

import logging
from typing import Any

from celery.worker import state as worker_state
from redis.exceptions import RedisError

from producer.contract import sending_of
from worker.inference.hidden_result import HIDDEN
from worker.pool.surviving_request import SurvivingRequest
from worker.results.backend import RedisBackend
from worker.runtime import runtime_of

__all__ = ["WorkerRequest"]

logger = logging.getLogger(__name__)


class WorkerRequest(SurvivingRequest):
    """A request that hides its arguments, that its sender can cancel, and whose id may be sent again after that."""

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What ``inspect active`` and ``inspect reserved`` show."""
        info: dict[str, Any] = super().info(safe=safe)
        if not runtime_of(self._app).settings.show_request_text:
            info["args"], info["kwargs"] = [], HIDDEN
        return info

    def revoked(self) -> bool:
        """Whether the request is revoked, cancelled or expired; announces it if so.

        Celery would refuse the id of an expired request from then on.
        """
        ids = worker_state.revoked
        if self._already_revoked or self.id in ids:
            return bool(super().revoked())
        if self._is_cancelled():
            ids.add(self.id)
        try:
            return bool(super().revoked())
        finally:
            ids.discard(self.id)

    def _is_cancelled(self) -> bool:
        backend = self.task.backend
        if not isinstance(backend, RedisBackend):
            return False
        try:
            return runtime_of(self._app).cancellations.holds(self.id, backend.client, backend.key_prefix)
        except RedisError:
            # Its answer cannot be stored now either, so it comes again.
            logger.warning("could not look up whether a request is cancelled", exc_info=True)
            return False

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        """Announce that it is revoked, unless another message has its place: whoever waits waits for that one."""
        if terminated or not self._is_replaced():
            super()._announce_revoked(reason, terminated, signum, expired)
            return
        worker_state.task_ready(self)
        self.acknowledge()
        self._already_revoked = True

    def _is_replaced(self) -> bool:
        backend, sending = self.task.backend, sending_of(self.request_dict, self.message.delivery_tag)
        if sending is None or not isinstance(backend, RedisBackend):
            return False
        try:
            return backend.marks.is_replaced(self.id, sending)
        except RedisError:
            # What announces the end tries the server for longer.
            logger.warning("could not look up whether a request was sent again", exc_info=True)
            return False
