"""The worker step that starts the monitoring server, if a port is set."""

from __future__ import annotations

from celery import bootsteps
from celery.worker import WorkController
from kombu.asynchronous import Hub

from worker.endpoints.pulse import Pulse
from worker.endpoints.server import MonitoringServer
from worker.pool import BatchTask
from worker.runtime import runtime_of

__all__ = ["Monitoring"]


class Monitoring(bootsteps.StartStopStep):
    """Worker step: starts the server after the first processes have been forked, and the pulse with the event loop."""

    requires = ("celery.worker.components:Pool", "celery.worker.autoscale:WorkerComponent")

    def include_if(self, worker: WorkController) -> bool:
        """Whether the worker has a port for monitoring."""
        return runtime_of(worker.app).monitoring_socket is not None

    def create(self, worker: WorkController) -> None:
        """Make the server, and have requests counted."""
        # Imported only when needed, since it imports prometheus-client.
        from worker.endpoints.pages import Pages

        runtime = runtime_of(worker.app)
        if runtime.monitoring_socket is None:
            raise RuntimeError("the worker has no port for monitoring")
        self._pulse = Pulse(worker, runtime)
        self._server = MonitoringServer(runtime.monitoring_socket, Pages(worker, runtime, self._pulse).by_path())
        runtime.meter.set_models(runtime.served.names_by_task)
        for task in worker.app.tasks.values():
            if isinstance(task, BatchTask):
                task.Request = "worker.intake.measured_request:MeasuredRequest"

    def start(self, _worker: WorkController) -> None:
        """Start the server."""
        self._server.start()

    def register_with_event_loop(self, _worker: WorkController, hub: Hub) -> None:
        """Start the pulse; Celery calls this whenever the event loop starts."""
        self._pulse.begin(hub)
