"""Starts a pool process: it pins itself to its cores, then loads and warms up its models, and only then gets work.

Celery only logs a start-up handler that fails, and gives the process work anyway. Here, a process that cannot serve
reports why and exits with status :data:`EXIT_CANNOT_SERVE`; the worker counts these exits.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from billiard import current_process
from celery import signals

from worker.boot.garbage import tune_garbage_collector
from worker.boot.pool_hooks import InferenceHooks
from worker.boot.start_reports import StartReport
from worker.inference.loaded_models import LoadedModels
from worker.observability import sentry
from worker.runtime import WorkerRuntime

__all__ = ["EXIT_CANNOT_SERVE", "connect"]

logger = logging.getLogger(__name__)

#: Exit status of a process that has no cores or cannot load its models.
EXIT_CANNOT_SERVE = 70


def connect(runtime: WorkerRuntime, hooks: InferenceHooks) -> None:
    """Have every pool process of a worker start this way."""

    def on_process_init(**_: object) -> None:
        try:
            _start(runtime, hooks)
        except BaseException as error:  # noqa: BLE001 - whatever the error is, this process must not get work
            _give_up(error, hooks)

    signals.worker_process_init.connect(on_process_init, weak=False, dispatch_uid="celeriac.process")


def _start(runtime: WorkerRuntime, hooks: InferenceHooks) -> None:
    started_s = time.monotonic()
    index = current_process().index
    core_set = runtime.started_leases().keep_only(index)
    _pin(core_set.cores)
    runtime.exchange.forget_previous()
    models = [taken.present() for taken in runtime.taken]
    runtime.loaded = loaded = LoadedModels.load(models, runtime.settings, len(core_set.cores))
    # Also replaces OpenVINO's signal stack, which leaves almost no space for a signal handler, by a larger one.
    faulthandler.enable()
    tune_garbage_collector()
    seconds = time.monotonic() - started_s
    cores = ",".join(map(str, core_set.cores)) + (" (shared)" if core_set.is_shared else "")
    pid = os.getpid()
    arithmetic = {name: chosen.value for name, chosen in loaded.arithmetic.items()}
    revisions = loaded.revisions
    logger.info(
        "process %d (pid %d) is ready on core %s with %s after %.2f s",
        *(index, pid, cores),
        ", ".join(f"{name} {revisions[name]} ({chosen})" for name, chosen in arithmetic.items()),
        seconds,
    )
    token_s = {task.value: pace_s for task, pace_s in loaded.token_s.items()}
    hooks.report(StartReport(pid, index, core_set.cores, seconds, None, arithmetic, revisions, token_s))


def _pin(cores: tuple[int, ...]) -> None:
    """Pin this process: the threads that it has, and by inheritance those that a library starts later."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(int(thread.name), cores)
    threads = str(len(cores))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = threads
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _give_up(error: BaseException, hooks: InferenceHooks) -> NoReturn:
    cause = f"{type(error).__name__}: {error}"
    logger.error("this process cannot serve: %s", cause, exc_info=error)
    hooks.report(StartReport(os.getpid(), current_process().index, (), 0.0, cause))
    sentry.flush()
    os._exit(EXIT_CANNOT_SERVE)
