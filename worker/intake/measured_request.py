"""A request that is counted when it starts and ends: the ``Request`` of our tasks when metrics are enabled."""

from __future__ import annotations

import re
from typing import Any

from billiard.exceptions import Terminated
from celery.exceptions import Ignore, Reject, Retry

from producer.contract import RequestError
from worker.intake.request import WorkerRequest
from worker.observability.metrics.meter import Meter, RequestOutcome, RequestSeries, Since
from worker.pool.exception_info import exception_of
from worker.runtime import runtime_of

__all__ = ["MeasuredRequest"]

_OUTCOMES = {
    Retry: RequestOutcome.RETRIED,
    Reject: RequestOutcome.REJECTED,
    Ignore: RequestOutcome.IGNORED,
}


class MeasuredRequest(WorkerRequest):
    """Counts how long the request waited and how it ended."""

    #: When this worker fetched the request, on the monotonic clock; None for a request with an ``eta``, which waits by
    #: intention.
    received_s: float | None = None
    since: Since = Since.RECEIVED
    #: From when its times are measured, on the monotonic clock.
    timed_from_s: float | None = None
    series: RequestSeries | None = None
    is_counted = False
    _was_stored = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Wrap ``on_success``: Celery makes a subclass for each task, whose ``on_success`` does not call ours."""
        super().__init_subclass__(**kwargs)
        on_success = cls.on_success

        def count_success(self: MeasuredRequest, failed__retval__runtime: Any, **options: Any) -> Any:
            if not failed__retval__runtime[0]:
                self._meter.on_ended(self, RequestOutcome.SUCCEEDED)
            return on_success(self, failed__retval__runtime, **options)

        cls.on_success = count_success

    @property
    def _meter(self) -> Meter:
        return runtime_of(self._app).meter

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Count the start; Celery calls this when a process starts the request."""
        self._meter.on_started(self)
        super().on_accepted(pid, time_accepted)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Count a failure, retry, rejection or the like; revocations are counted where they are announced."""
        try:
            return super().on_failure(exc_info, *args, **kwargs)
        finally:
            self._count_failure(exception_of(exc_info))

    def _count_failure(self, error: BaseException) -> None:
        if isinstance(error, Terminated):
            return
        for kind, outcome in _OUTCOMES.items():
            if isinstance(error, kind):
                self._meter.on_ended(self, outcome)
                return
        if self._was_stored:
            self._meter.on_ended(self, RequestOutcome.SUCCEEDED)
        else:
            self._meter.on_ended(self, RequestOutcome.FAILED, _code_of(error))

    def _success_was_stored(self) -> Any:
        result = super()._success_was_stored()
        self._was_stored = bool(result)
        return result

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        self._meter.on_ended(self, RequestOutcome.EXPIRED if expired else RequestOutcome.REVOKED)
        super()._announce_revoked(reason, terminated, signum, expired)

    def _announce_cancelled(self, emit_retry: bool = True) -> None:
        self._meter.on_ended(self, RequestOutcome.GIVEN_AWAY)
        super()._announce_cancelled(emit_retry=emit_retry)


def _code_of(error: BaseException) -> str:
    """The contract's code, or the exception's name in snake case, such as ``soft_time_limit_exceeded``."""
    if isinstance(error, RequestError):
        return error.details["code"]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
