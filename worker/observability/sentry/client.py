"""The Sentry client of the parent and of each process."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import sys
from collections.abc import Callable, Sequence

from celery import signals
from celery.app import trace
from celery.worker import request

from config import Settings
from models.store import StoredModel
from worker.inference import answering
from worker.pool import batch

__all__ = ["connect", "flush"]

#: How long a process that ends waits for its last reports.
_FLUSH_S = 2.0


def connect(settings: Settings, served: Callable[[], Sequence[StoredModel]]) -> None:
    """Report the errors and traces of a worker, if a DSN is set.

    Args:
        settings: the settings of the worker.
        served: returns the models that it serves, which may change.
    """
    if settings.sentry.dsn is None:
        return

    def start(**_: object) -> None:
        _start(settings, served)

    # A client does not survive a fork: its thread is gone, and pending reports would be sent twice.
    for signal in (signals.celeryd_init, signals.worker_process_init):
        signal.connect(start, weak=False, dispatch_uid="celeriac.sentry")
    for signal in (signals.after_setup_logger, signals.after_setup_task_logger):
        signal.connect(_report_errors_of, weak=False, dispatch_uid="celeriac.sentry.logger")
    # Pool processes end without Python's atexit handlers.
    signals.worker_process_shutdown.connect(flush, weak=False, dispatch_uid="celeriac.sentry.flush")


def flush(**_: object) -> None:
    """Send pending reports, for up to two seconds; do nothing without a DSN."""
    sdk = sys.modules.get("sentry_sdk")
    if sdk is not None:
        sdk.flush(timeout=_FLUSH_S)


def _start(settings: Settings, served: Callable[[], Sequence[StoredModel]]) -> None:
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.integrations.threading import ThreadingIntegration

    from worker.observability.sentry import failures, traces
    from worker.observability.sentry.hiding import hide_texts

    dsn, rate, show_text = settings.sentry.dsn, settings.sentry.traces_sample_rate, settings.show_request_text
    sentry_sdk.init(
        dsn=dsn.get_secret_value() if dsn else None,
        environment=settings.sentry.environment,
        release=os.environ.get("SENTRY_RELEASE") or _release(),
        # None turns traces off; with 0 the SDK would still continue traces that a sender samples.
        traces_sample_rate=rate or None,
        # Other integrations patch code that every request runs: Redis, logging, Celery.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            AtexitIntegration(callback=lambda pending, timeout: None),  # noqa: ARG005 - the default prints
            DedupeIntegration(),
            ExcepthookIntegration(),
            ThreadingIntegration(),
        ],
        # They would be about earlier requests.
        max_breadcrumbs=0,
        # Both start threads that monitor the process.
        auto_session_tracking=False,
        enable_backpressure_handling=False,
        send_default_pii=show_text,
        include_local_variables=show_text,
        before_send=None if show_text else hide_texts,
    )
    failures.connect(served, show_text=show_text)
    if rate:
        traces.connect(served, rate)


def _report_errors_of(logger: logging.Logger, **_: object) -> None:
    """Report errors that do not belong to a request: the broker is gone, or a process cannot start."""
    from sentry_sdk.integrations.logging import EventHandler, ignore_logger

    # A failed request is reported once, with its tags, by `failures.py`.
    for source in (trace, request, answering, batch):
        ignore_logger(source.logger.name)
    # Celery sets up logging again in a process that has its own log file.
    if not any(isinstance(handler, EventHandler) for handler in logger.handlers):
        logger.addHandler(EventHandler(level=logging.ERROR))


def _release() -> str | None:
    # Without a release the SDK runs git in every process.
    try:
        return f"celeriac@{importlib.metadata.version('celeriac')}"
    except importlib.metadata.PackageNotFoundError:
        return None
