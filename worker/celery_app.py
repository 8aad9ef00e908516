"""The Celery app. It is also what ``celery -A worker inspect`` and Flower load: it needs no model to be there."""

from __future__ import annotations

from celery import Celery

from config import Settings, SettingsError, celery_options, load_settings
from config.celery_options import TRANSPORT
from worker import logs, process, sentry, startup
from worker.held_work import HeldWorkGate
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
    app.steps["consumer"].update((HeldWorkGate, ModelAnnouncer))
    app.celeriac_settings = settings
    app.celeriac_served = served
    register_tasks(app, served.tasks)
    startup.connect(app, settings)
    process.connect(settings)
    logs.connect(settings)
    sentry.connect(settings)
    return app


try:
    app = create_app(load_settings())
except SettingsError as error:
    raise SystemExit(f"wrong setting: {error}\nSee .env.example for what each takes.") from None
