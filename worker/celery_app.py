"""The Celery app of a worker.

``celery -A worker inspect`` and Flower also load it, possibly on machines without models.
"""

from __future__ import annotations

import sys
from functools import partial

from config import Settings, SettingsError, load_settings
from config.home import ensure_home
from config.settings import LogFormat, wanted_log_format
from worker.boot import preflight, process
from worker.boot.memory_watch import MemoryRecycler
from worker.boot.namesake import NamesakeCheck
from worker.boot.pool_hooks import InferenceHooks
from worker.boot.refusal import EXIT_CANNOT_START
from worker.celery_options import CONTROL, EVENTS, TRANSPORT, celery_options
from worker.control.commands import register_commands
from worker.control.reloader import ModelReloader
from worker.endpoints.step import Monitoring
from worker.inference.served_models import ServedModels
from worker.intake.cancelled import CancellationReader
from worker.intake.model_registry import ModelAnnouncer
from worker.intake.prefetch_gate import PrefetchGate
from worker.observability import logs, otel, sentry
from worker.results.backend import RESULT_BACKENDS
from worker.runtime import CeleriacApp, WorkerRuntime
from worker.tasks import register_tasks

__all__ = ["app", "create_app"]


def create_app(settings: Settings) -> CeleriacApp:
    """Make an app that serves ``settings.models``, with its own runtime."""
    runtime = WorkerRuntime(settings, ServedModels.from_settings(settings))
    runtime.pool_hooks = hooks = InferenceHooks(runtime)
    app = CeleriacApp("celeriac", runtime=runtime, amqp=TRANSPORT, events=EVENTS, control=CONTROL, set_as_current=True)
    app.loader.override_backends = RESULT_BACKENDS
    app.conf.update(celery_options(settings, runtime.served.own_tasks, runtime.served.names))
    runtime.storing.probe = partial(_check_storing, app)
    own_steps = (PrefetchGate, CancellationReader, ModelAnnouncer, ModelReloader, NamesakeCheck, MemoryRecycler)
    app.steps["consumer"].update(own_steps)
    if settings.metrics.port is not None:
        app.steps["worker"].add(Monitoring)
    register_commands()
    register_tasks(app, runtime.served.tasks)
    preflight.connect(app, runtime, hooks)
    logs.connect(settings)
    # Connected before `process`, so that processes that cannot start are reported too.
    sentry.connect(settings, lambda: runtime.served.models)
    otel.connect()
    process.connect(runtime, hooks)
    return app


def _check_storing(app: CeleriacApp) -> None:
    # Only now, since each thread gets a backend of its own.
    app.backend.check_storing()


ensure_home()
try:
    app = create_app(load_settings())
except SettingsError as error:
    report = logs.as_json_line(error.report) if wanted_log_format() is LogFormat.JSON else error.report
    print(report, file=sys.stderr, flush=True)
    # `inspect`, `control` and Flower load the same app, so they end with this status too.
    raise SystemExit(EXIT_CANNOT_START) from None
