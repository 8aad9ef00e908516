"""A request that is counted when it begins and when it ends; the tasks' ``Request`` where metrics are wanted."""

from __future__ import annotations

import re
from typing import Any

from billiard.exceptions import Terminated
from celery.exceptions import Ignore, Reject, Retry

from producer.contract import RequestError
from worker.intake.request import Request
from worker.observability.metrics.meter import Outcome, RequestSeries, Since, meter
from worker.pool.pending_request import exception_of

__all__ = ["MeasuredRequest"]

_OUTCOMES = {Retry: Outcome.RETRIED, Reject: Outcome.REJECTED, Ignore: Outcome.IGNORED}


class MeasuredRequest(Request):
    """Counts how long it waited and how it ended."""

    #: When this worker fetched it, on the monotonic clock; None for one with an ``eta``, whose waiting is wanted.
    received_s: float | None = None
    since: Since = Since.RECEIVED
    #: From when its times are measured, on the monotonic clock.
    from_s: float | None = None
    series: RequestSeries | None = None
    is_counted = False
    _was_stored = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Celery makes a subclass for each task, with an ``on_success`` that does not call ours."""
        super().__init_subclass__(**kwargs)
        on_success = cls.on_success

        def count_success(self: MeasuredRequest, failed__retval__runtime: Any, **options: Any) -> Any:
            if not failed__retval__runtime[0]:
                meter.ended(self, Outcome.SUCCEEDED)
            return on_success(self, failed__retval__runtime, **options)

        cls.on_success = count_success

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """A process has begun with it."""
        meter.began(self)
        super().on_accepted(pid, time_accepted)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """It has failed, or asks for something else; what is revoked or given away is counted there."""
        try:
            return super().on_failure(exc_info, *args, **kwargs)
        finally:
            self._count_failure(exception_of(exc_info))

    def _count_failure(self, error: BaseException) -> None:
        if isinstance(error, Terminated):
            return
        for kind, outcome in _OUTCOMES.items():
            if isinstance(error, kind):
                meter.ended(self, outcome)
                return
        if self._was_stored:
            meter.ended(self, Outcome.SUCCEEDED)
        else:
            meter.ended(self, Outcome.FAILED, _code_of(error))

    def _success_was_stored(self) -> Any:
        found = super()._success_was_stored()
        self._was_stored = bool(found)
        return found

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        meter.ended(self, Outcome.EXPIRED if expired else Outcome.REVOKED)
        super()._announce_revoked(reason, terminated, signum, expired)

    def _announce_cancelled(self, emit_retry: bool = True) -> None:
        meter.ended(self, Outcome.GIVEN_AWAY)
        super()._announce_cancelled(emit_retry=emit_retry)


def _code_of(error: BaseException) -> str:
    """The contract's code, or the name of the exception: ``soft_time_limit_exceeded``."""
    if isinstance(error, RequestError):
        return error.details["code"]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
