"""The life of a pool process: take its cores, pin itself, load its models, warm them up; only then it gets work.

Celery only logs a start-up handler that fails and gives the process work all the same; here a process that cannot
serve says why and ends itself (exit status :data:`EXIT_CANNOT_SERVE`), and ``worker.pool`` counts those.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from billiard import current_process
from celery import signals

from config import Settings
from models.engine.usage import Usage, total
from producer.contract import TaskName
from worker.boot import preflight
from worker.boot.garbage import collect_seldom
from worker.boot.start_reports import StartReport
from worker.cores.leases import CoreSet
from worker.observability import sentry

if TYPE_CHECKING:
    from models.pipelines.base import AnyPipeline

__all__ = ["EXIT_CANNOT_SERVE", "LoadedProcess", "connect", "current", "take_usage"]

logger = logging.getLogger(__name__)

#: Exit status of a process that could not lease its cores or load its models.
EXIT_CANNOT_SERVE = 70


@dataclass(frozen=True)
class LoadedProcess:
    """What this pool process has: its cores, and its models by task and name."""

    core_set: CoreSet
    pipelines: dict[TaskName, dict[str, AnyPipeline]]


_current: LoadedProcess | None = None


def current() -> LoadedProcess:
    """The models and cores of this process.

    Raises:
        RuntimeError: this is not a pool process that has started.
    """
    if _current is None:
        raise RuntimeError("models are loaded in pool processes only")
    return _current


def take_usage() -> Usage:
    """What the models of this process have computed since the last call."""
    loaded = current().pipelines.values()
    # Pipelines may share an engine, which gives its usage once.
    return total(pipeline.engine.take_usage() for by_name in loaded for pipeline in by_name.values())


def connect(settings: Settings) -> None:
    """Start every pool process with :func:`_start`."""

    def on_process_init(**_: object) -> None:
        try:
            _start(settings)
        except BaseException as error:  # noqa: BLE001 - whatever it is, this process must not get work
            _give_up(error)

    signals.worker_process_init.connect(on_process_init, weak=False, dispatch_uid="celeriac.process")


def _start(settings: Settings) -> None:
    global _current  # noqa: PLW0603 - one per process, set once, before the first task
    started_s = time.monotonic()
    prepared = preflight.prepared()
    index = current_process().index
    core_set = prepared.leases.keep_only(index)
    _pin(core_set.cores)
    pipelines = _load(settings, len(core_set.cores))
    # Its stack for signals is larger than OpenVINO's, which holds a frame and next to nothing for the handler.
    faulthandler.enable()
    _current = LoadedProcess(core_set, pipelines)
    collect_seldom()
    seconds = time.monotonic() - started_s
    where = ",".join(map(str, core_set.cores)) + (" (shared)" if core_set.is_shared else "")
    names = ", ".join(dict.fromkeys(name for loaded in pipelines.values() for name in loaded))
    pid = os.getpid()
    logger.info("process %d (pid %d) is ready on core %s with %s after %.2f s", index, pid, where, names, seconds)
    prepared.reports.send(StartReport(pid, index, core_set.cores, seconds, None))


def _pin(cores: tuple[int, ...]) -> None:
    """Pin this process; every thread that is made from now on, in any library, inherits the mask."""
    os.sched_setaffinity(0, cores)
    threads = str(len(cores))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = threads
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _load(settings: Settings, threads: int) -> dict[TaskName, dict[str, AnyPipeline]]:
    from models import pipelines
    from models.engine.batching import BatchingOptions
    from models.engine.engine import EngineOptions

    options = EngineOptions(
        threads=threads,
        precision=settings.engine.precision.value,
        batching=BatchingOptions(settings.batch.max_tokens, settings.batch.length_multiple),
        cache_dir=settings.compiled_dir if settings.engine.cache else None,
    )
    loaded: dict[TaskName, dict[str, AnyPipeline]] = {}
    beside: list[tuple[TaskName, AnyPipeline]] = []
    for model in preflight.served_models(settings):
        # The parent has; a process may come much later.
        model.verify()
        for task, pipeline in pipelines.load_all(model, options).items():
            if task is model.manifest.task:
                pipeline.warm_up()
                loaded.setdefault(task, {})[model.name] = pipeline
            else:
                beside.append((task, pipeline))
    # Last, since the first model of a task is the one that answers when a request names none.
    for task, pipeline in beside:
        loaded.setdefault(task, {}).setdefault(pipeline.model.name, pipeline)
    return loaded


def _give_up(error: BaseException) -> NoReturn:
    cause = f"{type(error).__name__}: {error}"
    logger.error("this process cannot serve: %s", cause, exc_info=error)
    preflight.prepared().reports.send(StartReport(os.getpid(), current_process().index, (), 0.0, cause))
    sentry.flush()
    os._exit(EXIT_CANNOT_SERVE)
