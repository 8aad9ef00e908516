"""What the end of a job means for each request of its batch."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.states import FAILURE, SUCCESS
from kombu.message import Message

from tests.worker.pool.fakes import FakeRequest, no_tracer, tracer_arguments
from worker.pool import PoolHooks, ProcessDied
from worker.pool.batch import Batch
from worker.pool.billiard_adapter import JobOptions
from worker.pool.claims import MAX_ATTEMPTS
from worker.pool.exception_info import OutOfMemory, exception_info, exception_of
from worker.pool.execute import BatchReport, CallOutcome
from worker.pool.pending_request import PendingRequest, RequestState


class Recorded(PendingRequest):
    """A request that remembers its callbacks."""

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
        options = cast("JobOptions", {kind: record(kind) for kind in kinds} | limits)
        super().__init__(no_tracer, tracer_arguments(name), options, FakeRequest(task=SimpleNamespace(backend=backend)))

    @property
    def error(self) -> BaseException:
        ((info,),) = [args for kind, args in self.seen if kind == "error_callback"]
        return exception_of(info)

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.seen]


STORED: dict[str, str | None] = {}


def batch_of(*requests: PendingRequest) -> tuple[Batch, list[PendingRequest]]:
    """A batch, and the queue to whose front its requests return."""
    queue: list[PendingRequest] = []
    return Batch(requests, lambda request: queue.insert(0, request), lambda *_: None, PoolHooks()), queue


def test_each_gets_its_own_result_and_what_one_raises_stops_no_other() -> None:
    requests = [Recorded("a"), Recorded("b", raises=True), Recorded("c")]
    batch, queue = batch_of(*requests)

    batch.on_accepted(7, 0.5)
    batch.on_results(BatchReport([(CallOutcome.TRACED, (0, request.args[1], 0.1)) for request in requests], None))

    for request in requests:
        assert request.seen == [("accept_callback", (7, 0.5)), ("callback", ((0, request.args[1], 0.1),))]
    assert queue == []


def test_outcomes_decide_who_runs_again_and_who_alone() -> None:
    traced, raised, late, alone, again = requests = [Recorded(name) for name in "abcde"]
    batch, queue = batch_of(*requests)
    error = exception_info(ValueError())

    batch.on_results(
        BatchReport(
            [
                (CallOutcome.TRACED, (0, "x", 0.1)),
                (CallOutcome.RAISED, error),
                (CallOutcome.EXPIRED, None),
                (CallOutcome.REQUEUE_ALONE, None),
                (CallOutcome.REQUEUE, None),
            ],
            None,
        )
    )

    assert traced.kinds == ["callback"]
    assert isinstance(raised.error, ValueError)
    assert queue == [late, alone, again]
    assert [request.runs_alone for request in queue] == [False, True, False]
    assert not late.seen


def test_what_is_another_workers_by_now_ends_here_without_a_word() -> None:
    left: list[Any] = []

    class Hooks(PoolHooks):
        def on_superseded(self, message: Message) -> None:
            left.append(message)

    request = Recorded("a")
    assert request.celery_request is not None
    batch = Batch([request], lambda _: None, lambda *_: None, Hooks())
    batch.on_results(BatchReport([(CallOutcome.SUPERSEDED, None)], None))

    assert left == [request.celery_request.message]
    assert request.state is RequestState.GONE
    assert request.seen == []


@pytest.mark.parametrize("error", [WorkerLostError("gone"), SystemExit(1), KeyboardInterrupt()])
def test_who_was_there_when_a_process_died_runs_alone_and_is_given_up_in_the_end(error: BaseException) -> None:
    requests = [Recorded("a"), Recorded("b")]
    batch, queue = batch_of(*requests)

    batch.on_error(exception_info(error))

    assert queue == requests
    assert all(request.runs_alone and request.deaths == 1 and not request.seen for request in requests)
    for _ in range(MAX_ATTEMPTS - 1):
        batch, queue = batch_of(requests[0])
        batch.on_error(exception_info(error))
    assert queue == []
    assert isinstance(requests[0].error, ProcessDied)


def test_who_has_its_result_when_a_process_dies_is_done() -> None:
    done, failed, open_ = Recorded("a", stored=SUCCESS), Recorded("b", stored=FAILURE), Recorded("c")
    batch, queue = batch_of(done, failed, open_)

    batch.on_error(exception_info(WorkerLostError("gone")))

    # For this error Celery looks up the result, and announces the success.
    assert isinstance(done.error, WorkerLostError)
    assert queue == [failed, open_]


def test_a_member_of_a_chord_runs_again_since_its_chord_may_not_have_counted_it() -> None:
    member = Recorded("a", stored=SUCCESS)
    assert isinstance(member.celery_request, FakeRequest)
    member.celery_request._payload = ((), {}, {"chord": {"task": "body"}})
    batch, queue = batch_of(member)

    batch.on_error(exception_info(WorkerLostError("gone")))

    assert queue == [member]
    assert member.seen == []


def test_when_the_worker_stops_what_is_stored_is_done_and_the_rest_has_not_died() -> None:
    done, open_ = Recorded("a", stored=SUCCESS), Recorded("b")
    batch, queue = batch_of(done, open_)

    batch.abandon()

    assert isinstance(done.error, WorkerLostError)
    assert queue == [open_]
    assert (open_.deaths, open_.runs_alone) == (0, False)


def test_only_who_was_terminated_is_revoked() -> None:
    target, other = Recorded("a"), Recorded("b")
    target.terminated_by = 15
    batch, queue = batch_of(target, other)

    batch.on_error(exception_info(Terminated(15)))

    assert isinstance(target.error, Terminated)
    assert queue == [other]
    assert not other.runs_alone
    assert other.deaths == 0


def limited(*limits: float | None) -> Sequence[Recorded]:
    return [Recorded(str(index), timeout=limit, soft_timeout=limit) for index, limit in enumerate(limits)]


def test_the_limit_of_a_batch_is_the_smallest() -> None:
    batch, _ = batch_of(*limited(None, 5.0, 3.0))

    assert batch.soft_limit_s == batch.hard_limit_s == 3.0
    assert batch_of(*limited(None, None))[0].hard_limit_s is None


def test_the_one_with_the_smallest_limit_is_over_it() -> None:
    first, target, last = limited(None, 3.0, 5.0)
    batch, queue = batch_of(first, target, last)

    batch.on_timeout(soft=True, timeout=3.0)
    batch.on_error(exception_info(TimeLimitExceeded(3.0)))
    batch.on_timeout(soft=False, timeout=3.0)

    assert target.kinds == ["timeout_callback", "error_callback", "timeout_callback"]
    assert queue == [first, last]
    assert not first.runs_alone
    assert first.kinds == last.kinds == []


def test_one_of_several_with_the_smallest_limit_must_show_itself() -> None:
    requests = limited(3.0, 3.0, 5.0)
    batch, queue = batch_of(*requests)

    batch.on_error(exception_info(TimeLimitExceeded(3.0)))
    batch.on_timeout(soft=False, timeout=3.0)

    assert queue == list(requests)
    assert all(request.runs_alone and not request.seen for request in requests)


def test_any_other_failure_of_a_job_is_one_members() -> None:
    requests = [Recorded("a"), Recorded("b")]
    batch, queue = batch_of(*requests)
    batch.on_error(exception_info(RecursionError()))
    assert queue == requests
    assert requests[0].runs_alone

    batch, queue = batch_of(requests[0])
    batch.on_error(exception_info(RecursionError()))
    assert isinstance(requests[0].error, RecursionError)
    assert queue == []


def test_celerys_callbacks_see_no_memory_error() -> None:
    request, other = Recorded("a"), Recorded("b")

    request.fail(exception_info(MemoryError("no room")))
    other.succeed((1, exception_info(MemoryError("no room")), 0.0))

    assert isinstance(request.error, OutOfMemory)
    assert repr(request.error) == "MemoryError('no room',)"
    ((failed, info, _),) = other.seen[0][1]
    assert failed
    assert isinstance(exception_of(info), OutOfMemory)
