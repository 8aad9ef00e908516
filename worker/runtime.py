"""Everything that belongs to one worker, in one typed object.

:func:`worker.celery_app.create_app` makes it. It hangs on the app, since Celery makes most of the worker's parts itself
and hands each of them nothing but the app. Tests make another one.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import IO, Any

from celery import Celery

from config import Settings
from worker.cores.leases import Leases
from worker.inference.loaded_models import LoadedModels
from worker.inference.served_models import ServedModels
from worker.observability.metrics.meter import Meter
from worker.pool import PoolHooks
from worker.pool.throughput import ByteThroughput
from worker.workload.monitor import WorkloadMonitor

__all__ = ["CeleriacApp", "WorkerRuntime", "runtime_of"]


@dataclass
class WorkerRuntime:
    """What a worker has and knows. Pool processes inherit it by the fork.

    Attributes:
        settings: the settings in force.
        served: the models that the worker answers with.
        meter: counts of requests and batches.
        throughput: how fast a process works through bytes of requests.
        pool_hooks: what the pool asks of this worker.
        leases: the worker's core sets; None until the worker has started.
        model_uses: locked manifests, by which ``python -m models remove`` can tell who uses a model.
        workload: what there is to do; None until the worker has started.
        monitoring_socket: where the monitoring server listens; None without a port.
        loaded: the models of this pool process; None in the parent.
    """

    settings: Settings
    served: ServedModels
    meter: Meter = field(default_factory=Meter)
    throughput: ByteThroughput = field(default_factory=ByteThroughput)
    pool_hooks: PoolHooks = field(default_factory=PoolHooks)
    leases: Leases | None = None
    model_uses: list[IO[bytes]] = field(default_factory=list)
    workload: WorkloadMonitor | None = None
    monitoring_socket: socket.socket | None = None
    loaded: LoadedModels | None = None

    def started_leases(self) -> Leases:
        """The core sets of a worker that has started.

        Raises:
            RuntimeError: no worker has started in this process.
        """
        if self.leases is None:
            raise RuntimeError("no worker has started in this process")
        return self.leases

    def started_workload(self) -> WorkloadMonitor:
        """The workload of a worker that has started.

        Raises:
            RuntimeError: no worker has started in this process.
        """
        if self.workload is None:
            raise RuntimeError("no worker has started in this process")
        return self.workload

    def loaded_models(self) -> LoadedModels:
        """The models of this pool process.

        Raises:
            RuntimeError: this is not a pool process that has started.
        """
        if self.loaded is None:
            raise RuntimeError("models are loaded in pool processes only")
        return self.loaded


class CeleriacApp(Celery):
    """A Celery app with the runtime of its worker."""

    runtime: WorkerRuntime

    def __init__(self, *args: Any, runtime: WorkerRuntime, **options: Any) -> None:
        super().__init__(*args, **options)
        self.runtime = runtime

    @property
    def pool_hooks(self) -> PoolHooks:
        """What the pool asks of this worker (:class:`worker.pool.hooks.HasPoolHooks`)."""
        return self.runtime.pool_hooks


def runtime_of(app: Celery) -> WorkerRuntime:
    """The runtime of an app of ours.

    Raises:
        TypeError: it is another app.
    """
    if not isinstance(app, CeleriacApp):
        raise TypeError(f"{app!r} is not an app of Celeriac")
    return app.runtime
