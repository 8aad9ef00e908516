"""When requests are handed over to processes, in which batches, and what happens to those that wait."""

from __future__ import annotations

from collections.abc import Hashable

from tests.worker.pool.live_pool import LivePool, Recorder, in_own_interpreter, sizes
from worker.pool import BatchLimits, ProcessDied
from worker.pool.throughput import UNKNOWN_REQUEST_S


@in_own_interpreter
def test_requests_that_arrive_in_one_turn_are_computed_together() -> None:
    with LivePool() as live:
        live.wait_until_up()
        sent = [live.send() for _ in range(3)]
        assert live.pool.waiting == 3

        live.run_until(lambda: all(request.result for request in sent))

        assert sizes(sent) == [3, 3, 3]
        assert live.pool.waiting == 0


@in_own_interpreter
def test_idle_processes_share_what_waits() -> None:
    with LivePool(processes=2) as live:
        live.wait_until_up()
        sent = [live.send() for _ in range(2)]

        live.run_until(lambda: all(request.result for request in sent))

        assert sizes(sent) == [1, 1]
        assert len({request.result["pid"] for request in sent}) == 2


@in_own_interpreter
def test_less_than_a_full_batch_waits_while_all_processes_are_busy() -> None:
    with LivePool() as live:
        held, gate = live.hold()
        sent = [live.send() for _ in range(3)]
        live.turn()
        assert live.pool.waiting == 3

        sent.append(live.send(key="other"))
        gate.touch()
        live.run_until(lambda: all(request.result for request in [held, *sent]))

        assert sizes(sent) == [3, 3, 3, 1]


@in_own_interpreter
def test_one_full_batch_is_written_ahead_to_a_busy_process() -> None:
    with LivePool() as live:
        _, gate = live.hold()
        sent = [live.send() for _ in range(9)]
        live.turn()
        assert live.pool.waiting == 5

        gate.touch()
        live.run_until(lambda: all(request.result for request in sent))

        assert sizes(sent) == [4] * 8 + [1]


class Slow(Recorder):
    """Expects that no process finishes more than a cost of 30 in time, before anything is measured."""

    batch_limits = BatchLimits(requests=4, cost=100, bulk_s=3.0, min_cost=10)

    def expected_s(self, key: Hashable, cost: int) -> float:
        return cost / 10 if key == ("probe", None) else 0.0


@in_own_interpreter
def test_the_first_batch_is_as_large_as_is_expected_to_take_no_longer_than_it_may() -> None:
    with LivePool(hooks=Slow()) as live:
        live.wait_until_up()
        sent = [live.send(cost=10) for _ in range(4)]

        live.run_until(lambda: all(request.result for request in sent))

        assert sizes(sent) == [3, 3, 3, 1]


@in_own_interpreter
def test_nothing_is_written_ahead_behind_a_job_that_may_take_long() -> None:
    with LivePool() as live:
        _, gate = live.hold("wait")
        sent = [live.send() for _ in range(9)]
        live.turn()
        assert live.pool.waiting == 9

        gate.touch()
        live.run_until(lambda: all(request.result for request in sent))

        assert sizes(sent) == [4] * 8 + [1]


@in_own_interpreter
def test_bulk_requests_yield_to_interactive_ones() -> None:
    with LivePool() as live:
        _, gate = live.hold()
        bulk = [live.send(queue="bulk") for _ in range(2)]
        interactive = [live.send() for _ in range(2)]
        gate.touch()
        live.run_until(lambda: all(request.result for request in interactive))

        assert not any(request.accepted_by for request in bulk)
        live.run_until(lambda: all(request.result for request in bulk))


@in_own_interpreter
def test_a_call_whose_key_cannot_be_told_runs_alone() -> None:
    with LivePool() as live:
        live.wait_until_up()
        sent = [live.send(), live.send(key="unknown"), live.send()]

        live.run_until(lambda: all(request.result for request in sent))

        assert sizes(sent) == [2, 1, 2]


@in_own_interpreter
def test_a_request_that_cannot_be_pickled_fails_and_the_others_of_its_batch_do_not() -> None:
    with LivePool() as live:
        live.wait_until_up()
        deep: list[object] = []
        for _ in range(100_000):
            deep = [deep]
        good, bad = live.send(), live.send()
        bad._payload[1]["deep"] = deep
        live.run_until(lambda: good.result and bad.result)

        assert isinstance(bad.result, RecursionError)
        assert sizes([good]) == [1]
        assert not live.pool._pool._cache


@in_own_interpreter
def test_the_app_learns_of_each_batch_and_the_pool_measures_it() -> None:
    hooks = Recorder()
    with LivePool(hooks=hooks) as live:
        live.wait_until_up()
        assert live.pool.seconds_of("celery") == live.pool.seconds_of("other") == UNKNOWN_REQUEST_S
        sent = [live.send(key="a"), live.send(key="a"), live.send("two")]
        live.run_until(lambda: all(request.result for request in sent))

        (batch,) = hooks.batches
        assert (batch.key, batch.requests, batch.usage) == (("probe", "a"), 2, "usage")
        assert batch.size_bytes == sum(len(request.body) for request in sent[:2])
        assert batch.seconds > 0
        assert abs(live.pool.seconds_of("celery") - batch.seconds / 2) < 1e-9
        assert live.pool.seconds_of("other") == UNKNOWN_REQUEST_S
        assert live.pool.info["batches"] == {"count": 1, "requests": 2, "waiting": 0}
        assert live.pool.info["described"]


@in_own_interpreter
def test_a_lost_connection_leaves_to_the_broker_what_it_delivers_again() -> None:
    with LivePool() as live:
        held, gate = live.hold()
        ahead = [live.send() for _ in range(4)]
        live.turn()
        lost, kept = live.send(), live.send(acknowledged=True)
        assert live.pool.waiting == 2

        live.pool.flush()

        assert live.pool.waiting == 1
        gate.touch()
        live.run_until(lambda: held.result and kept.result)
        # What was written ahead is computed too, but another worker reports it.
        assert not any(request.accepted_by or request.result for request in [*ahead, lost])


@in_own_interpreter
def test_a_long_job_that_runs_still_counts_after_a_lost_connection() -> None:
    with LivePool() as live:
        _, gate = live.hold("wait")
        live.pool.flush()

        for _ in range(9):
            live.send(acknowledged=True)
        live.turn()

        assert live.pool.waiting == 9
        gate.touch()
        live.run_until(lambda: live.pool.waiting == 0)


@in_own_interpreter
def test_a_pool_that_closes_ends_only_what_the_broker_has_forgotten() -> None:
    with LivePool() as live:
        held, gate = live.hold()
        waiting, forgotten = live.send(), live.send(acknowledged=True)

        live.pool.close()

        assert isinstance(forgotten.result, ProcessDied)
        assert waiting.result is None
        assert live.pool.waiting == 0
        gate.touch()
        live.pool.stop()
        assert sizes([held]) == [1]


@in_own_interpreter
def test_what_arrives_after_the_end_waits_for_ever_and_harms_nobody() -> None:
    with LivePool() as live:
        live.wait_until_up()
        live.pool.close()
        late = live.send(acknowledged=True)
        live.turn()
        assert live.pool.waiting == 1

        live.pool.stop()

        assert isinstance(late.result, ProcessDied)
