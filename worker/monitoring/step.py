"""The worker step that starts the monitoring; without a port there is none."""

from __future__ import annotations

from typing import Any

from celery import bootsteps

from worker.monitoring.pulse import Pulse
from worker.monitoring.server import MonitoringServer
from worker.pool import BatchTask
from worker.runtime import runtime_of

__all__ = ["Monitoring"]


class Monitoring(bootsteps.StartStopStep):
    """Worker step: serves the pages once the first processes are forked, and beats with the event loop."""

    requires = ("celery.worker.components:Pool", "celery.worker.autoscale:WorkerComponent")

    def include_if(self, worker: Any) -> bool:
        """Whether the worker listens on a port."""
        return runtime_of(worker.app).monitoring_socket is not None

    def create(self, worker: Any) -> None:
        """Make the pages, and have the requests counted."""
        # Loaded only where it is needed: it brings prometheus-client along.
        from worker.monitoring.pages import Pages

        runtime = runtime_of(worker.app)
        if runtime.monitoring_socket is None:
            raise RuntimeError("the worker listens on no port")
        self._pulse = Pulse(worker, runtime)
        self._server = MonitoringServer(runtime.monitoring_socket, Pages(worker, runtime, self._pulse).by_path())
        runtime.meter.serve(runtime.served.names_by_task)
        for task in worker.app.tasks.values():
            if isinstance(task, BatchTask):
                task.Request = "worker.intake.measured_request:MeasuredRequest"

    def start(self, worker: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Start to answer."""
        self._server.start()

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Start to beat; Celery calls this whenever the loop starts."""
        self._pulse.begin(hub)
