"""Which process may get the next job."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.pool.slots import JOBS_AHEAD, Slots


def test_while_one_is_idle_no_other_gets_a_second_job() -> None:
    slots = Slots({3, 5}, lambda _: True)
    slots.add(3)

    assert slots.idle == 1
    assert 3 in slots
    assert 5 not in slots
    assert len(slots) == 0


def test_when_all_are_busy_each_gets_one_job_ahead() -> None:
    slots = Slots({3, 5}, lambda _: True)
    for process in (3, 5, 3):
        slots.add(process)

    assert slots.idle == 0
    assert slots.free == 1
    assert 3 in slots
    assert 5 not in slots
    assert len(slots) == 1


def test_a_job_that_does_not_fit_waits_until_a_process_is_idle() -> None:
    slots = Slots({3, 5}, lambda _: False)
    slots.add(3)
    slots.add(5)

    # All of them: otherwise the pool would wait for a pipe to become writable, and they always are.
    assert len(slots) == 2
    assert 3 in slots

    slots.discard(5)
    assert 5 not in slots


def test_a_process_that_has_ended_leaves_nothing_to_one_with_its_descriptor() -> None:
    slots = Slots({3}, lambda _: True)
    slots.add(3)
    slots.add(3)

    slots.forget(3)

    assert slots.idle == 1
    assert slots.free == 1 + JOBS_AHEAD


def test_a_lost_connection_frees_no_process_that_is_computing() -> None:
    slots = Slots({3}, lambda _: True)
    slots.add(3)

    slots.intersection_update(set())

    assert slots.idle == 0


@given(st.lists(st.tuples(st.sampled_from(["add", "discard", "forget"]), st.integers(0, 3))))
def test_no_slot_is_lost_or_invented(steps: list[tuple[str, int]]) -> None:
    processes = {0, 1, 2, 3}
    slots = Slots(processes, lambda _: True)
    jobs = dict.fromkeys(processes, 0)
    for step, process in steps:
        getattr(slots, step)(process)
        jobs[process] = {"add": jobs[process] + 1, "discard": max(0, jobs[process] - 1), "forget": 0}[step]

    assert slots.idle == sum(count == 0 for count in jobs.values())
    assert slots.free == sum(max(0, 1 + JOBS_AHEAD - count) for count in jobs.values())
    assert len(slots) == sum(count > JOBS_AHEAD for count in jobs.values())
    # If any process can take a job, the pool finds one that it may write to.
    assert (len(slots) < len(processes)) == any(process not in slots for process in processes)


def test_of_several_idle_ones_the_last_that_was_busy_goes_first() -> None:
    slots = Slots({3, 5, 7}, lambda _: True)
    assert not any(process in slots for process in (3, 5, 7))
    for process in (3, 5):
        slots.add(process)
    slots.discard(5)
    slots.discard(3)

    assert [process in slots for process in (3, 5, 7)] == [False, True, True]

    slots.add(3)
    assert [process in slots for process in (3, 5, 7)] == [True, False, True]

    slots.forget(5)
    assert 7 not in slots


def test_a_process_that_is_replaced_gets_no_more_jobs() -> None:
    slots = Slots({3, 5}, lambda _: True)
    slots.add(3)
    slots.discard(3)
    slots.add(5)

    slots.close(3)

    assert 3 in slots
    assert (slots.idle, slots.free, len(slots)) == (0, 1, 1)
    assert slots.has_no_job(3)
    assert not slots.has_no_job(5)
    slots.discard(5)
    assert 5 not in slots
    slots.forget(3)
    assert slots.idle == 2
