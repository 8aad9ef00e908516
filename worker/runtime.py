"""The state of one worker, in one typed object.

:func:`worker.celery_app.create_app` makes it. It is an attribute of the app, since Celery makes most parts of a worker
itself and passes only the app to each of them. Tests make their own.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from celery import Celery

from config import Settings
from worker.cores.leases import Leases
from worker.exchange.model_exchange import ModelExchange
from worker.inference.loaded_models import LoadedModels
from worker.inference.served_models import ServedModels
from worker.inference.taken_models import TakenModel
from worker.observability.metrics.meter import Meter
from worker.pool import PoolHooks
from worker.pool.throughput import ByteThroughput
from worker.results.cancellations import Cancellations
from worker.results.store_watch import StoreWatch
from worker.workload.monitor import WorkloadMonitor

__all__ = ["CeleriacApp", "WorkerRuntime", "runtime_of"]


@dataclass
class WorkerRuntime:
    """The state of a worker. Pool processes inherit it through the fork.

    Attributes:
        settings: the effective settings.
        served: the models that the worker serves.
        meter: counts of requests and batches.
        throughput: measures how long a process takes per byte of requests.
        pool_hooks: the pool's hooks in this worker.
        leases: the worker's core sets; None until the worker has started.
        taken: the revisions of these models that the worker has taken; empty until it has started.
        workload: observes the workload; None until the worker has started.
        monitoring_socket: the socket of the monitoring server; None without a port.
        process_limit_bytes: the memory of its own above which a process is replaced; None if nothing is known of it.
        loaded: the models of this pool process; None in the parent.
        storing: whether results can be stored.
        cancellations: the requests that were cancelled, as far as the worker has heard.
        exchange: exchanges the models for newly prepared ones.
    """

    settings: Settings
    served: ServedModels
    meter: Meter = field(default_factory=Meter)
    throughput: ByteThroughput = field(default_factory=ByteThroughput)
    pool_hooks: PoolHooks = field(default_factory=PoolHooks)
    leases: Leases | None = None
    taken: Sequence[TakenModel] = field(default_factory=list)
    workload: WorkloadMonitor | None = None
    monitoring_socket: socket.socket | None = None
    process_limit_bytes: int | None = None
    loaded: LoadedModels | None = None
    storing: StoreWatch = field(default_factory=StoreWatch)
    cancellations: Cancellations = field(default_factory=Cancellations)
    exchange: ModelExchange = field(init=False)

    def __post_init__(self) -> None:
        """Make what needs the rest."""
        self.exchange = ModelExchange(self.settings, lambda: self.taken, self.serve)

    def serve(self, taken: Sequence[TakenModel]) -> None:
        """Have processes that start from now on load these models."""
        self.taken = taken
        self.served = ServedModels([one.model for one in taken])

    def started_leases(self) -> Leases:
        """The core sets of a worker that has started.

        Raises:
            RuntimeError: no worker has started in this process.
        """
        if self.leases is None:
            raise RuntimeError("no worker has started in this process")
        return self.leases

    def started_workload(self) -> WorkloadMonitor:
        """The workload monitor of a worker that has started.

        Raises:
            RuntimeError: no worker has started in this process.
        """
        if self.workload is None:
            raise RuntimeError("no worker has started in this process")
        return self.workload

    def loaded_models(self) -> LoadedModels:
        """The models of this pool process.

        Raises:
            RuntimeError: this is not a started pool process.
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
        """The pool's hooks in this worker (:class:`worker.pool.hooks.HasPoolHooks`)."""
        return self.runtime.pool_hooks


def runtime_of(app: Celery) -> WorkerRuntime:
    """The runtime of one of our apps.

    Raises:
        TypeError: ``app`` is another Celery app.
    """
    if not isinstance(app, CeleriacApp):
        raise TypeError(f"{app!r} is not an app of Celeriac")
    return app.runtime
