"""The Celery app. It is also what ``celery -A worker inspect`` and Flower load: it needs no model to be there."""

from __future__ import annotations

import sys

from celery import Celery

from config import Settings, SettingsError, load_settings
from config.settings import LogFormat, wanted_log_format
from models.store.home import name_home
from worker.boot import preflight, process
from worker.boot.namesake import NamesakeCheck
from worker.celery_options import TRANSPORT, celery_options
from worker.intake.prefetch_gate import HeldWorkGate
from worker.intake.routing import ModelAnnouncer, Served
from worker.monitoring import setup as metrics
from worker.observability import logs, sentry
from worker.results.backend import RESULT_BACKENDS
from worker.tasks import register_tasks

__all__ = ["app", "create_app"]


def create_app(settings: Settings) -> Celery:
    """Make the app that serves ``settings.models``."""
    app = Celery("celeriac", amqp=TRANSPORT, events="worker.observability.events:Events", set_as_current=True)
    app.loader.override_backends = RESULT_BACKENDS
    served = Served(preflight.served_models(settings))
    app.conf.update(celery_options(settings, served.own_tasks, served.names))
    app.steps["consumer"].update((HeldWorkGate, ModelAnnouncer, NamesakeCheck))
    app.celeriac_settings = settings
    app.celeriac_served = served
    register_tasks(app, served.tasks)
    metrics.connect(app, settings)
    preflight.connect(app, settings)
    logs.connect(settings)
    # Before the processes start: those that cannot are reported too.
    sentry.connect(settings, served.models)
    process.connect(settings)
    return app


name_home()
try:
    app = create_app(load_settings())
except SettingsError as error:
    problem = f"wrong setting: {error}\nSee .env.example for what each takes."
    print(logs.as_json_line(problem) if wanted_log_format() is LogFormat.JSON else problem, file=sys.stderr, flush=True)
    # `inspect`, `control` and Flower end with it as well: they load the same app.
    raise SystemExit(preflight.EXIT_CANNOT_START) from None
