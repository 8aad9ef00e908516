"""What the end of a job means for each request of its batch."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery import Celery
from celery.exceptions import ImproperlyConfigured
from celery.states import FAILURE, SUCCESS

from worker.pool import PoolHooks, ProcessDied, TaskPool
from worker.pool.batch import MAX_DEATHS, Batch
from worker.pool.execute import BatchReport, Outcome
from worker.pool.pending_request import Member, OutOfMemory, exception_info, exception_of
from worker.pool.task_pool import _end_acknowledged


class Recorded(Member):
    """A member that remembers its callbacks."""

    def __init__(self, name: str, *, raises: bool = False, stored: str | None = None, **limits: Any) -> None:
        self.seen: list[tuple[str, Any]] = []

        def record(kind: str) -> Any:
            def on_call(*args: Any, **kwargs: Any) -> None:
                self.seen.append((kind, args or kwargs))
                if raises:
                    raise KeyError(name)

            return on_call

        kinds = ("accept_callback", "callback", "error_callback", "timeout_callback")
        backend = SimpleNamespace(
            mget=lambda ids: [STORED.get(task_id) for task_id in ids],
            get_key_for_task=lambda task_id: task_id,
            decode=lambda state: {"status": state},
        )
        STORED[name] = stored
        request = SimpleNamespace(task=SimpleNamespace(backend=backend), acknowledged=False)
        super().__init__(print, ("task", name), {kind: record(kind) for kind in kinds} | limits, request)

    @property
    def error(self) -> BaseException:
        ((info,),) = [args for kind, args in self.seen if kind == "error_callback"]
        return exception_of(info)

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.seen]


STORED: dict[str, str | None] = {}


def batch_of(*members: Member) -> tuple[Batch, list[Member]]:
    """A batch, and the line that takes its members back, at its front."""
    line: list[Member] = []
    return Batch(members, lambda member: line.insert(0, member), lambda *_: None, PoolHooks()), line


def test_each_gets_its_own_result_and_what_one_raises_stops_no_other() -> None:
    members = [Recorded("a"), Recorded("b", raises=True), Recorded("c")]
    batch, line = batch_of(*members)

    batch.on_accepted(7, 0.5)
    batch.on_results(BatchReport([(Outcome.TRACED, (0, member.args[1], 0.1)) for member in members], None))

    for member in members:
        assert member.seen == [("accept_callback", (7, 0.5)), ("callback", ((0, member.args[1], 0.1),))]
    assert line == []


def test_outcomes_decide_who_runs_again_and_who_alone() -> None:
    traced, raised, late, alone, again = members = [Recorded(name) for name in "abcde"]
    batch, line = batch_of(*members)
    error = exception_info(ValueError())

    batch.on_results(
        BatchReport(
            [
                (Outcome.TRACED, (0, "x", 0.1)),
                (Outcome.RAISED, error),
                (Outcome.EXPIRED, None),
                (Outcome.ALONE, None),
                (Outcome.AGAIN, None),
            ],
            None,
        )
    )

    assert traced.kinds == ["callback"]
    assert isinstance(raised.error, ValueError)
    assert line == [late, alone, again]
    assert [member.alone for member in line] == [False, True, False]
    assert not late.seen


@pytest.mark.parametrize("error", [WorkerLostError("gone"), SystemExit(1), KeyboardInterrupt()])
def test_who_was_there_when_a_process_died_runs_alone_and_is_given_up_in_the_end(error: BaseException) -> None:
    members = [Recorded("a"), Recorded("b")]
    batch, line = batch_of(*members)

    batch.on_error(exception_info(error))

    assert line == members
    assert all(member.alone and member.deaths == 1 and not member.seen for member in members)
    for _ in range(MAX_DEATHS - 1):
        batch, line = batch_of(members[0])
        batch.on_error(exception_info(error))
    assert line == []
    assert isinstance(members[0].error, ProcessDied)


def test_who_has_its_result_when_a_process_dies_is_done() -> None:
    done, failed, open_ = Recorded("a", stored=SUCCESS), Recorded("b", stored=FAILURE), Recorded("c")
    batch, line = batch_of(done, failed, open_)

    batch.on_error(exception_info(WorkerLostError("gone")))

    # Celery looks once more, and announces the success.
    assert isinstance(done.error, WorkerLostError)
    assert line == [failed, open_]


def test_only_who_was_terminated_is_revoked() -> None:
    target, other = Recorded("a"), Recorded("b")
    target.terminated = 15
    batch, line = batch_of(target, other)

    batch.on_error(exception_info(Terminated(15)))

    assert isinstance(target.error, Terminated)
    assert line == [other]
    assert not other.alone
    assert other.deaths == 0


def limited(*limits: float | None) -> Sequence[Recorded]:
    return [Recorded(str(index), timeout=limit, soft_timeout=limit) for index, limit in enumerate(limits)]


def test_the_limit_of_a_batch_is_the_smallest() -> None:
    batch, _ = batch_of(*limited(None, 5.0, 3.0))

    assert batch.soft_limit_s == batch.hard_limit_s == 3.0
    assert batch_of(*limited(None, None))[0].hard_limit_s is None


def test_the_one_with_the_smallest_limit_is_over_it() -> None:
    first, target, last = limited(None, 3.0, 5.0)
    batch, line = batch_of(first, target, last)

    batch.on_timeout(soft=True, timeout=3.0)
    batch.on_error(exception_info(TimeLimitExceeded(3.0)))
    batch.on_timeout(soft=False, timeout=3.0)

    assert target.kinds == ["timeout_callback", "error_callback", "timeout_callback"]
    assert line == [first, last]
    assert not first.alone
    assert first.kinds == last.kinds == []


def test_one_of_several_with_the_smallest_limit_must_show_itself() -> None:
    members = limited(3.0, 3.0, 5.0)
    batch, line = batch_of(*members)

    batch.on_error(exception_info(TimeLimitExceeded(3.0)))
    batch.on_timeout(soft=False, timeout=3.0)

    assert line == list(members)
    assert all(member.alone and not member.seen for member in members)


def test_any_other_failure_of_a_job_is_one_members() -> None:
    members = [Recorded("a"), Recorded("b")]
    batch, line = batch_of(*members)
    batch.on_error(exception_info(RecursionError()))
    assert line == members
    assert members[0].alone

    batch, line = batch_of(members[0])
    batch.on_error(exception_info(RecursionError()))
    assert isinstance(members[0].error, RecursionError)
    assert line == []


def test_celerys_callbacks_see_no_memory_error() -> None:
    member, other = Recorded("a"), Recorded("b")

    member.fail(exception_info(MemoryError("no room")))
    other.succeed((1, exception_info(MemoryError("no room")), 0.0))

    assert isinstance(member.error, OutOfMemory)
    assert repr(member.error) == "MemoryError('no room',)"
    ((failed, info, _),) = other.seen[0][1]
    assert failed
    assert isinstance(exception_of(info), OutOfMemory)


def test_what_nobody_will_run_is_ended_if_the_broker_has_forgotten_it() -> None:
    late, early = Recorded("a"), Recorded("b")
    early.request.acknowledged = True

    _end_acknowledged([late, early], PoolHooks())

    assert late.seen == []
    assert isinstance(early.error, ProcessDied)


def test_a_broker_without_an_event_loop_is_refused() -> None:
    app = Celery("pool", broker="memory://", set_as_current=False)

    with pytest.raises(ImproperlyConfigured, match="event loop"):
        TaskPool(1, app=app, threads=True).on_start()
    app.close()
