"""The pages of the monitoring server: metrics, liveness, readiness, and how many workers are needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from celery.worker import WorkController
from kombu.exceptions import KombuError
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from redis.exceptions import RedisError

from worker.endpoints import fleet
from worker.endpoints.collector import WorkerCollector
from worker.endpoints.health import why_not_alive, why_not_ready
from worker.endpoints.pulse import Pulse
from worker.endpoints.server import Page
from worker.runtime import WorkerRuntime
from worker.scaling.rule import ScalingRule
from worker.workload.monitor import ObservedWorkload

__all__ = ["Pages"]

#: How long a response to ``/scale`` is cached.
_SCALE_LASTS_S = 1.0


class Pages:
    """The pages of one worker.

    Args:
        worker: Celery's worker.
        runtime: its runtime.
        pulse: the beats of its event loop.
    """

    def __init__(self, worker: WorkController, runtime: WorkerRuntime, pulse: Pulse) -> None:
        self._app = worker.app
        self._pulse = pulse
        self._workload = runtime.started_workload()
        self._hung_s = runtime.settings.time.visibility_timeout_s
        self._rule = ScalingRule(runtime.settings.scale)
        self._registry = CollectorRegistry()
        self._registry.register(WorkerCollector(worker.hostname, pulse, runtime.meter, runtime.settings))
        ProcessCollector(registry=self._registry)
        self._scale_lock = threading.Lock()
        self._scale: tuple[float, Mapping[str, Any]] | None = None

    def by_path(self) -> dict[str, Callable[[str], Page]]:
        """The pages by their paths."""
        return {"/metrics": self.metrics, "/healthz": self.healthz, "/readyz": self.readyz, "/scale": self.scale}

    def metrics(self, accept: str) -> Page:
        """All metrics, in the format that the ``Accept`` header asks for."""
        encode, content_type = choose_encoder(accept)
        return Page(HTTPStatus.OK, content_type, encode(self._registry))

    def healthz(self, _: str) -> Page:
        """Whether the worker is alive; if not, it should be killed."""
        return _verdict("alive", why_not_alive(self._pulse.vitals(), self._hung_s))

    def readyz(self, _: str) -> Page:
        """Whether the worker is ready for requests."""
        return _verdict("ready", why_not_ready(self._pulse.vitals()))

    def scale(self, _: str) -> Page:
        """How many workers are needed, for a cluster autoscaler."""
        with self._scale_lock:
            if self._scale is None or time.monotonic() - self._scale[0] > _SCALE_LASTS_S:
                observed = self._pulse.observed()
                if observed is None:
                    return _unavailable("the queues have not been sampled yet, or the broker does not answer")
                try:
                    self._scale = time.monotonic(), self._demand(observed)
                except (RedisError, KombuError, OSError) as error:
                    return _unavailable(f"the broker does not answer: {type(error).__name__}")
            return Page.of(HTTPStatus.OK, self._scale[1])

    def _demand(self, observed: ObservedWorkload) -> Mapping[str, Any]:
        with self._app.connection_for_read() as connection:
            others = fleet.read_announcements(connection.default_channel.client, observed)
        return fleet.worker_demand(
            observed,
            others,
            seconds_of=self._workload.seconds_of,
            rule=self._rule,
            processes_per_worker=max(1, self._pulse.last.processes.get("max", 1)),
        )


def _verdict(name: str, reasons: list[str]) -> Page:
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return Page.of(status, {name: not reasons, "reasons": reasons})


def _unavailable(problem: str) -> Page:
    return Page.of(HTTPStatus.SERVICE_UNAVAILABLE, {"error": problem})
