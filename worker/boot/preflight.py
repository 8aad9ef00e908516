"""What a worker's parent does before it forks: verify every model file, lease the cores, fix the number of processes.

It never imports OpenVINO, which does not survive a fork (openvinotoolkit/openvino#416).
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import IO, Any

from celery import Celery, signals
from celery.concurrency.prefork import TaskPool as PreforkPool
from kombu.utils.imports import symbol_by_name

from config import Settings
from models import store
from models.errors import ModelError, ModelNotFoundError
from models.store.in_use import announce_use
from worker.boot.garbage import collect_seldom
from worker.boot.memory_bound import MemoryBound, needs_of, usable_bytes
from worker.boot.pool_hooks import InferenceHooks
from worker.boot.process_count import ProcessCount
from worker.boot.refusal import refuse_to_start
from worker.boot.temp_files import make_no_temp_dir
from worker.cores.leases import LeaseRequest, LeasingError, take_leases
from worker.cores.topology import usable_cores
from worker.inference.served_models import ServedModels
from worker.monitoring.server import listen
from worker.runtime import WorkerRuntime
from worker.workload.monitor import WorkloadMonitor

__all__ = ["connect"]


def connect(app: Celery, runtime: WorkerRuntime, hooks: InferenceHooks) -> None:
    """Prepare every worker of ``app`` before its pool is made."""

    def on_worker_init(sender: Any, **_: object) -> None:
        if sender.app is app:
            _prepare(sender, runtime)
            hooks.open_reports()

    signals.worker_init.connect(on_worker_init, weak=False, dispatch_uid="celeriac.preflight")


def _prepare(worker: Any, runtime: WorkerRuntime) -> None:
    settings = runtime.settings
    # First of all: a worker that cannot be monitored leases nothing.
    runtime.monitoring_socket = _listen(settings)
    grows = _check_pool(worker.pool_cls)
    if worker.app.conf.worker_disable_prefetch:
        refuse_to_start("worker_disable_prefetch would have each process wait for its next request; leave it out")
    runtime.model_uses = _verify_models(settings)
    # Every worker would listen to every other's heartbeats, for an election that nothing here needs.
    worker.options["without_gossip"] = True
    cores = settings.cores
    request = LeaseRequest(
        cores.lease_dir, usable_cores(), cores.per_process, holder=worker.hostname, allow_sharing=cores.allow_sharing
    )
    is_shared = settings.engine.cache and _is_writable(settings.compiled_dir)
    needs = needs_of(ServedModels.from_settings(settings).models, is_shared=is_shared)
    count = ProcessCount(worker, settings, request, MemoryBound(needs, usable_bytes()), grows=grows)
    count.warn_of_memory()
    count.set_range()
    try:
        runtime.leases = take_leases(request, count.first())
    except LeasingError as error:
        refuse_to_start(str(error))
    count.apply(len(runtime.leases.sets))
    runtime.workload = WorkloadMonitor(worker)
    collect_seldom()
    make_no_temp_dir()


def _listen(settings: Settings) -> socket.socket | None:
    host, port = settings.metrics.host, settings.metrics.port
    if port is None:
        return None
    try:
        return listen(host, port)
    except OSError as error:
        refuse_to_start(
            f"cannot listen on {host}:{port} for metrics: {error.strerror or error}. "
            "Give this worker a CELERIAC_METRICS_PORT of its own, and CELERIAC_METRICS_HOST an address of this host"
        )


def _check_pool(pool: Any) -> bool:
    """Refuse a pool that cannot be pinned, and return whether it leases cores as it grows, which Celery's does not."""
    pool_class = symbol_by_name(pool) if isinstance(pool, str) and ":" in pool else pool
    if not (isinstance(pool_class, type) and issubclass(pool_class, PreforkPool)):
        name = getattr(pool_class, "__module__", pool_class)
        refuse_to_start(f"pool {name} cannot be pinned: a model belongs to one process on its own cores. Leave out -P")
    return bool(getattr(pool_class, "leases_as_it_grows", False))


def _verify_models(settings: Settings) -> list[IO[bytes]]:
    """Check the files of all models, and return their manifests, locked, for as long as the worker uses them."""
    uses = []
    for name in settings.models:
        try:
            model = store.find(name, settings.model_dir)
            use = announce_use(model.directory)
            model.verify()
        except ModelNotFoundError as error:
            refuse_to_start(f"{error}. Which models are served is the setting CELERIAC_MODELS")
        except ModelError as error:
            refuse_to_start(str(error))
        if use is not None:
            uses.append(use)
    return uses


def _is_writable(directory: Path) -> bool:
    """Whether files can be kept in a directory, which need not exist yet."""
    existing = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
