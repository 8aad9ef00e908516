"""Reports each request that failed through no fault of its sender."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sentry_sdk
from billiard.exceptions import SoftTimeLimitExceeded
from celery import signals
from sentry_sdk.utils import event_from_exception

from models.store import StoredModel
from producer.contract import ModelFailed, RequestError
from worker.observability.sentry import incoming_trace
from worker.observability.sentry.tags import tags_of
from worker.results.answer_facts import facts_of

__all__ = ["connect"]


def connect(served: Callable[[], Sequence[StoredModel]], *, show_text: bool) -> None:
    """Report failed requests of this process, including, in the parent, those whose process died.

    Args:
        served: returns the worker's models.
        show_text: whether reports may contain the arguments of requests.
    """

    def on_failure(sender: Any, exception: BaseException, args: Any, kwargs: Any, **_: object) -> None:
        if isinstance(exception, RequestError) and not isinstance(exception, ModelFailed):
            return
        with sentry_sdk.isolation_scope() as scope:
            if sentry_sdk.get_current_span() is None:
                sentry_sdk.continue_trace(incoming_trace.read_trace(vars(sender.request)))
            scope.set_transaction_name(sender.name, source="task")
            for name, value in tags_of(sender, args, kwargs, served()).items():
                scope.set_tag(name, value)
            if isinstance(exception, SoftTimeLimitExceeded):
                # Grouped by task, since the stack says nothing about the cause.
                scope.fingerprint = ["celery", "SoftTimeLimitExceeded", sender.name]
            if show_text:
                scope.set_extra("celery-job", {"task_name": sender.name, "args": args, "kwargs": kwargs})
            _report(exception, _cause_of(sender.request))

    signals.task_failure.connect(on_failure, weak=False, dispatch_uid="celeriac.sentry.failures")


def _cause_of(request: Any) -> BaseException | None:
    facts = facts_of(request)
    return facts.cause if facts else None


def _report(exception: BaseException, cause: BaseException | None) -> None:
    if cause is not None:
        # Only for the report: the result, which the sender sees, has been stored.
        exception.__cause__ = cause
    event, hint = event_from_exception(
        exception,
        client_options=sentry_sdk.get_client().options,
        mechanism={"type": "celery", "handled": False},
    )
    sentry_sdk.capture_event(event, hint=hint)
