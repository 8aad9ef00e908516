"""A Celery app whose tasks only wait, with our pool, transport and result backend, or with Celery's own.

``celery -A benchmarks.chaos.noop_app worker``; only :mod:`benchmarks.chaos.fleet` runs it.
"""

from __future__ import annotations

import json
import os

from celery import Celery

from benchmarks.chaos.journal import Journal
from benchmarks.chaos.options import Contestant
from benchmarks.chaos.seams import TRAPPED_BACKENDS, TrappedHooks
from benchmarks.chaos.steps import Trap
from benchmarks.chaos.work import Work, note_requests

__all__ = ["CONFIG_VARIABLE", "CONTESTANT_VARIABLE", "app"]

#: Celery's configuration, as JSON.
CONFIG_VARIABLE = "CHAOS_CONFIG"
CONTESTANT_VARIABLE = "CHAOS_CONTESTANT"
_OURS = os.environ.get(CONTESTANT_VARIABLE, Contestant.CELERIAC.value) == Contestant.CELERIAC.value


class NoopApp(Celery):
    """An app with hooks for the pool."""

    pool_hooks = TrappedHooks()


class NoopWork(Work):
    """The task; its process survives a lost connection, as in our own app."""

    Request = "worker.pool.surviving_request:SurvivingRequest" if _OURS else Work.Request


app = NoopApp("chaos", amqp="benchmarks.chaos.seams:AMQP" if _OURS else None, set_as_current=True)
if _OURS:
    app.loader.override_backends = TRAPPED_BACKENDS
app.conf.update(json.loads(os.environ.get(CONFIG_VARIABLE, "{}")))
app.register_task(NoopWork(Journal.of_environment(), Trap.of_environment()))
note_requests(app, Journal.of_environment())
