"""The Celery app. It is also what ``celery -A worker inspect`` and Flower load: it needs no model to be there."""

from __future__ import annotations

import sys

from celery import Celery

from config import Settings, SettingsError, celery_options, load_settings
from config.celery_options import TRANSPORT
from config.settings import LogFormat, wanted_log_format
from models.home import name_home
from worker import logs, process, sentry, startup
from worker.held_work import HeldWorkGate
from worker.metrics import setup as metrics
from worker.namesake import NamesakeCheck
from worker.results import RESULT_BACKENDS
from worker.served import ModelAnnouncer, Served
from worker.tasks import register_tasks

__all__ = ["app", "create_app"]


def create_app(settings: Settings) -> Celery:
    """Make the app that serves ``settings.models``."""
    app = Celery("celeriac", amqp=TRANSPORT, events="worker.events:Events", set_as_current=True)
    app.loader.override_backends = RESULT_BACKENDS
    served = Served(startup.served_models(settings))
    app.conf.update(celery_options(settings, served.own_tasks, served.names))
    app.steps["consumer"].update((HeldWorkGate, ModelAnnouncer, NamesakeCheck))
    app.celeriac_settings = settings
    app.celeriac_served = served
    register_tasks(app, served.tasks)
    metrics.connect(app, settings)
    startup.connect(app, settings)
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
    raise SystemExit(startup.EXIT_CANNOT_START) from None
