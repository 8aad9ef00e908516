"""Prepares a worker's parent before it forks: verifies model files, leases cores, sets the number of processes.

The parent never imports OpenVINO, which does not survive a fork (openvinotoolkit/openvino#416).
"""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

from celery import Celery, signals
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.worker import WorkController
from kombu.utils.imports import symbol_by_name

from config import Settings
from models import store
from models.errors import ModelError, ModelNotFoundError
from worker.boot.garbage import tune_garbage_collector
from worker.boot.memory_bound import MemoryBound, needs_of, usable_bytes
from worker.boot.pool_hooks import InferenceHooks
from worker.boot.process_count import ProcessCount
from worker.boot.refusal import refuse_to_start
from worker.boot.temp_files import use_system_temp_dir
from worker.cores.leases import LeaseRequest, LeasingError, take_leases
from worker.cores.topology import usable_cores
from worker.endpoints.server import listen
from worker.inference.taken_models import TakenModel, take
from worker.observability import logs
from worker.runtime import WorkerRuntime
from worker.workload.monitor import WorkloadMonitor

__all__ = ["connect"]

_MIB = 1024 * 1024


def connect(app: Celery, runtime: WorkerRuntime, hooks: InferenceHooks) -> None:
    """Prepare every worker of ``app`` before its pool is made."""

    def on_worker_init(sender: WorkController, **_: object) -> None:
        if sender.app is app:
            _prepare(sender, runtime)
            hooks.open_reports()

    signals.worker_init.connect(on_worker_init, weak=False, dispatch_uid="celeriac.preflight")


def _prepare(worker: WorkController, runtime: WorkerRuntime) -> None:
    settings = runtime.settings
    # Comes first, so that a worker that cannot be monitored leases nothing.
    runtime.monitoring_socket = _listen(settings)
    grows = _check_pool(worker.pool_cls)
    if worker.app.conf.worker_disable_prefetch:
        refuse_to_start(
            "worker_disable_prefetch is not supported: every process would wait for its next request. Leave it out"
        )
    runtime.serve(_take_models(settings))
    # With gossip every worker listens to the heartbeats of all others, for elections that nothing here needs.
    worker.options["without_gossip"] = True
    cores = settings.cores
    request = LeaseRequest(
        cores.lease_dir, usable_cores(), cores.per_process, holder=worker.hostname, allow_sharing=cores.allow_sharing
    )
    is_shared = settings.engine.cache and _is_writable(settings.compiled_dir)
    needs = needs_of(runtime.served.models, is_shared=is_shared)
    memory = MemoryBound(needs, usable_bytes())
    count = ProcessCount(worker, settings, request, memory, grows=grows)
    count.warn_of_memory()
    count.set_range()
    try:
        runtime.leases = take_leases(request, count.initial())
    except LeasingError as error:
        refuse_to_start(str(error))
    count.apply(len(runtime.leases.sets))
    max_mib = settings.processes.max_memory_mib
    runtime.process_limit_bytes = max_mib * _MIB if max_mib else memory.share_bytes(count.most)
    runtime.workload = WorkloadMonitor(worker)
    tune_garbage_collector()
    use_system_temp_dir()


def _listen(settings: Settings) -> socket.socket | None:
    host, port = settings.metrics.host, settings.metrics.port
    if port is None:
        return None
    try:
        return listen(host, port)
    except OSError as error:
        refuse_to_start(
            f"cannot listen on {host}:{port} for metrics: {error.strerror or error}. "
            "Set CELERIAC_METRICS_PORT to a free port, and CELERIAC_METRICS_HOST to an address of this host"
        )


def _check_pool(pool: object) -> bool:
    """Refuse a pool that cannot be pinned; return whether it leases cores as it grows, unlike Celery's own."""
    pool_class = symbol_by_name(pool) if isinstance(pool, str) and ":" in pool else pool
    if not (isinstance(pool_class, type) and issubclass(pool_class, PreforkPool)):
        name = getattr(pool_class, "__module__", pool_class)
        refuse_to_start(f"pool {name} cannot be pinned to cores, since it has no processes of its own. Leave out -P")
    return bool(getattr(pool_class, "leases_as_it_grows", False))


def _take_models(settings: Settings) -> list[TakenModel]:
    """Verify all model files, and take what the directories contain now."""
    taken = []
    for name in settings.models:
        try:
            model = store.find(name, settings.model_dir)
            model.verify()
        except ModelNotFoundError as error:
            refuse_to_start(f"{error}. The setting CELERIAC_MODELS lists the models to serve")
        except ModelError as error:
            refuse_to_start(str(error))
        one, problem = take(model, settings)
        if problem is not None:
            logs.write_to_stderr(
                f"{name} cannot be copied to {settings.compiled_dir} ({problem.strerror}): when it is prepared anew, a "
                "process that replaces one that died loads the new revision unchecked",
                logging.WARNING,
            )
        taken.append(one)
    return taken


def _is_writable(directory: Path) -> bool:
    """Whether files can be written to a directory, which need not exist yet."""
    existing = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
