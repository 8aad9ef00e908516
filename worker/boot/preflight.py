"""What a worker's parent does before it forks: verify every model file, lease the cores, fix the number of processes.

It never imports OpenVINO, which does not survive a fork (openvinotoolkit/openvino#416).
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from celery import Celery, signals
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.worker.autoscale import Autoscaler as CeleryAutoscaler
from kombu.utils.imports import symbol_by_name

from config import Settings
from models import store
from models.errors import ModelError, ModelNotFoundError
from models.store import StoredModel
from models.store.in_use import announce_use
from worker.boot.garbage import collect_seldom
from worker.boot.memory_bound import MemoryBound, needs_of, usable_bytes
from worker.boot.start_reports import StartReports
from worker.boot.temp_files import make_no_temp_dir
from worker.cores.leases import Leases, LeasingError, Wish, take_leases
from worker.cores.topology import usable_cores
from worker.observability import logs

__all__ = ["EXIT_CANNOT_START", "Prepared", "connect", "maybe_prepared", "prepared", "refuse_to_start", "served_models"]

#: Exit status of a worker that cannot start: a model, the cores or an option is at fault.
EXIT_CANNOT_START = 78


@dataclass(frozen=True)
class Prepared:
    """What the parent made before it forked; every process inherits it."""

    leases: Leases
    reports: StartReports
    #: Locked manifests of the models, so that ``python -m models remove`` can say who needs them.
    uses: list[IO[bytes]]


_prepared: Prepared | None = None


def maybe_prepared() -> Prepared | None:
    """What this worker's parent has prepared; None in a worker of another app that uses our pool."""
    return _prepared


def prepared() -> Prepared:
    """What this worker's parent has prepared.

    Raises:
        RuntimeError: no worker is starting in this process.
    """
    if _prepared is None:
        raise RuntimeError("no worker has been started in this process")
    return _prepared


def served_models(settings: Settings) -> list[StoredModel]:
    """The configured models that are there, in the order of the setting; a worker checks that none is missing."""
    found = []
    for name in settings.models:
        try:
            found.append(store.find(name, settings.model_dir))
        except ModelError:
            # Not here: `celery -A worker inspect` and Flower load the app on machines that have no models.
            continue
    return found


def connect(app: Celery, settings: Settings) -> None:
    """Prepare every worker of ``app`` before its pool is made."""

    def on_worker_init(sender: Any, **_: object) -> None:
        global _prepared  # noqa: PLW0603 - one per worker process, set once
        if sender.app is app:
            _prepared = _prepare(sender, settings)

    signals.worker_init.connect(on_worker_init, weak=False, dispatch_uid="celeriac.startup")


def _prepare(worker: Any, settings: Settings) -> Prepared:
    grows = _check_pool(worker.pool_cls)
    if worker.app.conf.worker_disable_prefetch:
        refuse_to_start("worker_disable_prefetch would have each process wait for its next request; leave it out")
    uses = _verify_models(settings)
    # Every worker would listen to every other's heartbeats, for an election that nothing here needs.
    worker.options["without_gossip"] = True
    cores = settings.cores
    wish = Wish(cores.lease_dir, usable_cores(), cores.per_process, worker.hostname, cores.allow_sharing)
    is_shared = settings.engine.cache and _is_usable(settings.compiled_dir)
    memory = MemoryBound(needs_of(served_models(settings), is_shared=is_shared), usable_bytes())
    _tell_of_memory(worker, settings, wish, memory)
    _set_range(worker, settings, wish, memory)
    try:
        leases = take_leases(wish, _first_processes(worker, settings, memory, grows=grows))
    except LeasingError as error:
        refuse_to_start(str(error))
    _set_processes(worker, len(leases.sets), wish, grows=grows)
    collect_seldom()
    make_no_temp_dir()
    return Prepared(leases, StartReports(), uses)


def _check_pool(pool: Any) -> bool:
    """Refuse what cannot be pinned, and tell whether it leases cores as it grows: ours does, Celery's own does not."""
    pool_class = symbol_by_name(pool) if isinstance(pool, str) and ":" in pool else pool
    if not (isinstance(pool_class, type) and issubclass(pool_class, PreforkPool)):
        name = getattr(pool_class, "__module__", pool_class)
        refuse_to_start(f"pool {name} cannot be pinned: a model belongs to one process on its own cores. Leave out -P")
    return bool(getattr(pool_class, "leases_as_it_grows", False))


def _verify_models(settings: Settings) -> list[IO[bytes]]:
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


def _is_usable(directory: Path) -> bool:
    """Whether compiled models can be kept in a directory, which need not be there yet."""
    there = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _tell_of_memory(worker: Any, settings: Settings, wish: Wish, memory: MemoryBound) -> None:
    options, processes = worker.options, settings.processes
    autoscale, concurrency = options.get("autoscale"), options.get("concurrency")
    explicit = autoscale[0] if autoscale else concurrency or processes.max
    if not explicit and processes.min and memory.bound(processes.min) < processes.min:
        explicit = processes.min
    wanted = min(int(explicit or worker.concurrency), wish.most_sets)
    remark = memory.remark(wanted, is_explicit=bool(explicit))
    if remark is not None:
        logs.say(remark, logging.WARNING)


def _set_range(worker: Any, settings: Settings, wish: Wish, memory: MemoryBound) -> None:
    """Scale by the settings where the command line says neither a range nor a number."""
    least = settings.processes.min
    if least is not None and not worker.options.get("autoscale") and not worker.options.get("concurrency"):
        most = settings.processes.max or max(least, memory.bound(wish.most_sets))
        worker.options["autoscale"] = (most, least)


def _first_processes(worker: Any, settings: Settings, memory: MemoryBound, *, grows: bool) -> int:
    if autoscale := worker.options.get("autoscale"):
        most, least = autoscale
        return max(1, least) if grows else int(most)
    if worker.options.get("concurrency"):
        return int(worker.concurrency)
    if settings.processes.max is None:
        return memory.bound(int(worker.concurrency))
    return min(int(worker.concurrency), settings.processes.max)


def _set_processes(worker: Any, leased: int, wish: Wish, *, grows: bool) -> None:
    worker.concurrency = min(worker.concurrency, leased)
    if autoscale := worker.options.get("autoscale"):
        most, least = autoscale
        worker.options["autoscale"] = (
            min(most, max(leased, wish.most_sets) if grows else leased),
            min(max(1, least), leased),
        )
        if not grows:
            worker.autoscaler_cls = CeleryAutoscaler


def refuse_to_start(message: str) -> NoReturn:
    """End a worker that must not start, with status :data:`EXIT_CANNOT_START`."""
    # Logging is set up later in the start of a worker.
    logs.say(f"this worker cannot start: {message}")
    raise SystemExit(EXIT_CANNOT_START)
