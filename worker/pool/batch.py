"""A batch in the worker's parent: one billiard job, and what its end means for each of its members."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from billiard.einfo import ExceptionInfo
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.states import SUCCESS

from worker.pool import work_context
from worker.pool.execute import BatchReport, Outcome
from worker.pool.hooks import PoolHooks
from worker.pool.pending_request import Member, exception_info, exception_of

__all__ = ["MAX_DEATHS", "Batch"]

logger = logging.getLogger(__name__)

#: Processes that may die with a request before it is given up.
MAX_DEATHS = 3


class Batch:
    """The callbacks of one billiard job, fanned out to the members of a batch.

    Args:
        members: of equal key; at least one.
        give_back: takes a member that has to run again.
        observe: takes the members, the seconds and the usage of a batch that was computed.
        hooks: say which error a request ends with when its processes died.
    """

    def __init__(
        self,
        members: Sequence[Member],
        give_back: Callable[[Member], None],
        observe: Callable[[Sequence[Member], float, Any], None],
        hooks: PoolHooks,
    ) -> None:
        self.members = members
        self._give_back = give_back
        self._observe = observe
        self._hooks = hooks
        self._accepted_s: float | None = None
        #: Whose time limit the job has hit; billiard tells that it has failed before it tells why.
        self._timed_out: list[Member] = []

    @property
    def soft_limit_s(self) -> float | None:
        """The smallest soft time limit of the members."""
        return _smallest(member.soft_limit_s for member in self.members)

    @property
    def hard_limit_s(self) -> float | None:
        """The smallest hard time limit of the members."""
        return _smallest(member.hard_limit_s for member in self.members)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """A process has begun with the batch."""
        self._accepted_s = time.monotonic()
        for member in self.members:
            member.accept(pid, time_accepted)

    def on_results(self, report: BatchReport) -> None:
        """The process has been through the whole batch."""
        if self._accepted_s is not None:
            self._observe(self.members, time.monotonic() - self._accepted_s, report.usage)
        again = []
        for member, (outcome, value) in zip(self.members, report.results, strict=True):
            if outcome is Outcome.TRACED:
                member.succeed(value)
            elif outcome is Outcome.RAISED:
                member.fail(value)
            else:
                # EXPIRED: the line finds that it is too late, by the same clock, and announces it.
                member.alone |= outcome is Outcome.ALONE
                again.append(member)
        self._run_again(again)

    def on_error(self, error: ExceptionInfo) -> None:
        """The job has failed as a whole, most often with its process."""
        with work_context.on_batch(self.members):
            self._on_error(error)

    def _on_error(self, error: ExceptionInfo) -> None:
        exception = exception_of(error)
        if isinstance(exception, Terminated):
            self._terminated(error)
        elif isinstance(exception, TimeLimitExceeded):
            self._limit_exceeded(error)
        elif isinstance(exception, (WorkerLostError, SystemExit, KeyboardInterrupt)):
            self._process_died(exception)
        elif len(self.members) > 1:
            logger.error("a batch of %d failed, its requests run alone: %r", len(self.members), exception)
            self._run_alone(self.members)
        else:
            self.members[0].fail(error)

    def on_timeout(self, *, soft: bool, timeout: float | None) -> None:
        """A time limit has passed; for the hard one :meth:`on_error` was called before."""
        targets = _nearest(self.members, soft=True) if soft else self._timed_out
        if len(targets) == 1:
            with work_context.on_batch(self.members):
                targets[0].time_out(soft=soft, limit_s=timeout)

    def _terminated(self, error: ExceptionInfo) -> None:
        """The process was killed to end one of the members; the others have done nothing."""
        for member in self.members:
            if member.terminated is not None:
                member.fail(error)
        self._run_again(_without_stored([member for member in self.members if member.terminated is None]))

    def _limit_exceeded(self, error: ExceptionInfo) -> None:
        """One member had less time than all others: it was that one. Else each shows alone what it needs."""
        targets = _nearest(self.members, soft=False)
        if len(targets) > 1:
            self._run_alone(self.members)
            return
        self._timed_out = targets
        targets[0].fail(error)
        self._run_again([member for member in self.members if member is not targets[0]])

    def _process_died(self, exception: BaseException) -> None:
        again = []
        for member in _without_stored(self.members):
            member.deaths += 1
            if member.deaths < MAX_DEATHS:
                again.append(member)
            else:
                self._give_up(member, exception)
        if again:
            about = {"task_ids": [member.task_id for member in again]}
            logger.warning("%d requests run alone, their process died: %s", len(again), exception, extra=about)
        self._run_alone(again)

    def _give_up(self, member: Member, exception: BaseException) -> None:
        problem = f"{member.deaths} processes died while they computed this request; the last: {exception}"
        logger.error("gave up %s[%s]: %s", *member.args[:2], problem)
        member.fail(exception_info(self._hooks.process_died(problem)))

    def _run_alone(self, members: Sequence[Member]) -> None:
        for member in members:
            member.alone = True
        self._run_again(members)

    def _run_again(self, members: Sequence[Member]) -> None:
        # Each goes to the front of the line.
        for member in reversed(members):
            self._give_back(member)


def _without_stored(members: Sequence[Member]) -> Sequence[Member]:
    """Those without a result; the process may have died after it had stored some, which then are done."""
    open_ = []
    for member, is_stored in zip(members, _are_stored(members), strict=True):
        if is_stored:
            # What Celery is told of a process that died after it had stored a success: it announces that success.
            member.fail(exception_info(WorkerLostError("the process has ended")))
        else:
            open_.append(member)
    return open_


def _are_stored(members: Sequence[Member]) -> Sequence[bool]:
    if not members:
        return []
    try:
        backend = members[0].request.task.backend
        found = backend.mget([backend.get_key_for_task(member.args[1]) for member in members])
        return [bool(meta) and backend.decode(meta)["status"] == SUCCESS for meta in found]
    except Exception:
        # No backend, one without this, or none that answers: they run again.
        logger.debug("could not look for stored results", exc_info=True)
        return [False] * len(members)


def _smallest(limits: Any) -> float | None:
    return min((limit for limit in limits if limit), default=None)


def _nearest(members: Sequence[Member], *, soft: bool) -> list[Member]:
    """The members with the smallest limit."""
    limits = [(member.soft_limit_s if soft else member.hard_limit_s) or float("inf") for member in members]
    return [member for member, limit in zip(members, limits, strict=True) if limit == min(limits)]
