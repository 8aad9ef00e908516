"""Error reports to Sentry, without the text of requests."""

from __future__ import annotations

from typing import Any

from celery import signals

from config import Settings

__all__ = ["connect"]


def connect(settings: Settings) -> None:
    """Report errors of the worker if a DSN is set; each process starts its own client."""
    if settings.sentry.dsn is None:
        return

    def start(**_: object) -> None:
        _start(settings)

    for signal in (signals.celeryd_init, signals.worker_process_init):
        signal.connect(start, weak=False, dispatch_uid="celeriac.sentry")


def _start(settings: Settings) -> None:
    import sentry_sdk
    from sentry_sdk.integrations.celery import CeleryIntegration

    dsn = settings.sentry.dsn
    sentry_sdk.init(
        dsn=dsn.get_secret_value() if dsn else None,
        environment=settings.sentry.environment,
        traces_sample_rate=settings.sentry.traces_sample_rate,
        integrations=[CeleryIntegration()],
        send_default_pii=settings.show_request_text,
        include_local_variables=settings.show_request_text,
        before_send=None if settings.show_request_text else _without_arguments,
    )


def _without_arguments(event: Any, _: dict[str, Any]) -> Any:
    """Take out what the Celery integration adds of the message."""
    job = event.get("extra", {}).get("celery-job")
    if isinstance(job, dict):
        job.pop("args", None)
        job.pop("kwargs", None)
    return event
