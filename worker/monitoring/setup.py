"""Where the monitoring hangs on Celery's worker: nothing of it is there without a port."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from celery import Celery, bootsteps, signals
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from config import Settings
from worker.boot.preflight import refuse_to_start
from worker.monitoring import fleet
from worker.monitoring.health import why_not_alive, why_not_ready
from worker.monitoring.pulse import Pulse
from worker.monitoring.server import MonitoringServer, Page
from worker.observability.metrics.meter import meter
from worker.pool import BatchTask
from worker.scaling.rule import ScalingRule, ScalingTargets
from worker.scaling.workload import load_watch_of

__all__ = ["Monitoring", "connect"]

#: What was asked of Redis for ``/scale`` is told again for so long.
_SCALE_LASTS_S = 1.0


def connect(app: Celery, settings: Settings) -> None:
    """Serve the pages of every worker of ``app`` if a port is set."""
    port = settings.metrics.port
    if port is None:
        return
    app.steps["worker"].add(Monitoring)

    def on_worker_init(sender: Any, **_: object) -> None:
        if sender.app is app:
            # Before anything is leased or forked: who cannot be watched does not start.
            sender.celeriac_monitoring = _listen(settings.metrics.host, port)
            _measure_requests(app)

    signals.worker_init.connect(on_worker_init, weak=False, dispatch_uid="celeriac.metrics")


class Monitoring(bootsteps.StartStopStep):
    """Worker step: answers once the first processes are forked, and beats with the event loop."""

    requires = ("celery.worker.components:Pool", "celery.worker.autoscale:WorkerComponent")

    def include_if(self, worker: Any) -> bool:
        """Only where a port is bound."""
        return hasattr(worker, "celeriac_monitoring")

    def create(self, worker: Any) -> None:
        """Make the pages."""
        settings, server = worker.app.celeriac_settings, worker.celeriac_monitoring
        self._pulse = Pulse(worker, settings)
        server.pages = Pages(worker, self._pulse, settings).by_path()

    def start(self, worker: Any) -> None:
        """Answer."""
        worker.celeriac_monitoring.start()
        if worker.pool is not None:
            worker.pool.on_batch = meter.batch

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Beat; Celery calls this whenever the loop begins."""
        self._pulse.begin(hub)


class Pages:
    """What the server says.

    Args:
        worker: Celery's worker.
        pulse: what its event loop says.
        settings: its settings.
    """

    def __init__(self, worker: Any, pulse: Pulse, settings: Settings) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector
        from prometheus_client.exposition import choose_encoder

        from worker.monitoring.collector import WorkerCollector

        self._choose_encoder = choose_encoder
        self._worker = worker
        self._pulse = pulse
        self._hung_s = settings.time.visibility_timeout_s
        scale = settings.scale
        self._rule = ScalingRule(ScalingTargets(scale.drain_s, scale.utilization, scale.cooldown_s))
        self._registry = CollectorRegistry()
        self._registry.register(WorkerCollector(worker.hostname, pulse, meter, settings))
        ProcessCollector(registry=self._registry)
        self._asking = threading.Lock()
        self._asked: tuple[float, Mapping[str, Any]] | None = None

    def by_path(self) -> dict[str, Any]:
        """The pages."""
        return {"/metrics": self.metrics, "/healthz": self.healthz, "/readyz": self.readyz, "/scale": self.scale}

    def metrics(self, accept: str) -> Page:
        """All metrics, in the format that is asked for."""
        encode, content_type = self._choose_encoder(accept)
        return Page(HTTPStatus.OK, content_type, encode(self._registry))

    def healthz(self, _: str) -> Page:
        """Whether the worker shall be left alone."""
        return _verdict("alive", why_not_alive(self._pulse.vitals(), self._hung_s))

    def readyz(self, _: str) -> Page:
        """Whether it serves."""
        return _verdict("ready", why_not_ready(self._pulse.vitals()))

    def scale(self, _: str) -> Page:
        """What a cluster autoscaler goes by."""
        with self._asking:
            if self._asked is None or time.monotonic() - self._asked[0] > _SCALE_LASTS_S:
                seen = self._pulse.seen()
                if seen is None:
                    return _unavailable("the queues were not looked at yet, or the broker does not answer")
                try:
                    self._asked = time.monotonic(), self._ask(seen)
                except (RedisError, KombuError, OSError) as error:
                    return _unavailable(f"the broker does not answer: {type(error).__name__}")
            return Page.of(HTTPStatus.OK, self._asked[1])

    def _ask(self, seen: Any) -> Mapping[str, Any]:
        with self._worker.app.connection_for_read() as connection:
            others = fleet.announced(connection.default_channel.client, seen)
        return fleet.figures(
            seen,
            others,
            seconds_of=load_watch_of(self._worker).seconds_of,
            rule=self._rule,
            processes_per_worker=max(1, self._pulse.last.processes.get("max", 1)),
        )


def _listen(host: str, port: int) -> MonitoringServer:
    try:
        return MonitoringServer(host, port)
    except OSError as error:
        refuse_to_start(
            f"cannot listen on {host}:{port} for metrics: {error.strerror or error}. "
            "Give this worker a CELERIAC_METRICS_PORT of its own, and CELERIAC_METRICS_HOST an address of this host"
        )


def _measure_requests(app: Celery) -> None:
    models: dict[str, list[str]] = {}
    for model in app.celeriac_served.models:
        models.setdefault(model.manifest.task.value, []).append(model.name)
    meter.serve(models)
    for task in app.tasks.values():
        if isinstance(task, BatchTask):
            task.Request = "worker.intake.measured_request:MeasuredRequest"


def _verdict(name: str, reasons: list[str]) -> Page:
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return Page.of(status, {name: not reasons, "reasons": reasons})


def _unavailable(problem: str) -> Page:
    return Page.of(HTTPStatus.SERVICE_UNAVAILABLE, {"error": problem})
