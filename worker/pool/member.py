"""One request on its way through the pool."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NoReturn

from billiard.einfo import ExceptionInfo
from billiard.exceptions import Terminated

__all__ = ["Member", "Place", "exception_info"]

logger = logging.getLogger(__name__)


class Place(Enum):
    """Where a member is."""

    WAITING = auto()
    IN_BATCH = auto()
    GONE = auto()


@dataclass(eq=False)
class Member:
    """What Celery handed to the pool for one request, and what it holds on to, as it would on billiard's result.

    Attributes:
        target: Celery's tracer.
        args: its arguments: task name, id, headers, body, content type, content encoding.
        options: callbacks and time limits, as for billiard.
        request: Celery's request; None if somebody else uses the pool.
        key: members with equal keys can share a batch; None for a task without a batch form.
        cost: how much of a batch's budget it takes.
        size_bytes: length of the message's body.
        is_bulk: whether interactive members go first.
        alone: run it in a batch of its own.
        deaths: how many processes have died with it.
        terminated: the signal with which it was revoked, if it was.
    """

    target: Callable[..., Any]
    args: Sequence[Any]
    options: Mapping[str, Any]
    request: Any = None
    key: Hashable = None
    cost: int = 1
    size_bytes: int = 0
    is_bulk: bool = False
    alone: bool = False
    deaths: int = 0
    terminated: int | None = None
    place: Place = field(default=Place.WAITING)
    #: Billiard's result, for a task without a batch form.
    job: Any = None

    @property
    def soft_limit_s(self) -> float | None:
        """Its own soft time limit."""
        limit: float | None = self.options.get("soft_timeout")
        return limit

    @property
    def hard_limit_s(self) -> float | None:
        """Its own hard time limit."""
        limit: float | None = self.options.get("timeout")
        return limit

    def terminate(self, signum: int) -> None:
        """Celery calls this when the request is revoked with ``terminate``, or cancelled."""
        self.terminated = signum
        if self.job is not None:
            self.job.terminate(signum)
        elif self.place is Place.WAITING:
            self.fail(exception_info(Terminated(signum)))

    def is_out(self) -> bool:
        """Whether it needs no answer any more: revoked or too late, which is announced here, or gone already."""
        if self.place is Place.GONE:
            return True
        if self.request is None or not self.request.revoked():
            return False
        self.place = Place.GONE
        return True

    def accept(self, pid: int, time_accepted: float) -> None:
        """A process has begun with it."""
        self._call("accept_callback", pid, time_accepted)

    def succeed(self, result: Any) -> None:
        """Its tracer has returned ``(failed, value, runtime)``."""
        self.place = Place.GONE
        self._call("callback", result)

    def fail(self, error: ExceptionInfo) -> None:
        """It did not get through its tracer."""
        self.place = Place.GONE
        self._call("error_callback", error)

    def time_out(self, *, soft: bool, limit_s: float | None) -> None:
        """Tell Celery that its time limit has passed."""
        self._call("timeout_callback", soft=soft, timeout=limit_s)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> None:
        callback = self.options.get(name)
        if callback is None:
            return
        try:
            callback(*args, **kwargs)
        except Exception:
            # What one request's bookkeeping raises must not keep the others of its batch from theirs.
            logger.exception("the %s of %s[%s] failed", name, *self.args[:2])


def exception_info(error: BaseException) -> ExceptionInfo:
    """``error`` in the form that Celery's callbacks take."""
    try:
        _raise(error)
    except BaseException:  # noqa: BLE001 - raised right here
        return ExceptionInfo()


def _raise(error: BaseException) -> NoReturn:
    raise error
