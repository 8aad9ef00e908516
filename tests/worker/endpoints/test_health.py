"""When a worker is to be killed, when it gets no work, and when it is deaf."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from worker.endpoints.health import DeafWatch, Vitals, why_not_alive, why_not_ready

HUNG_S = 60.0
WELL = Vitals(
    is_stopping=False,
    is_connected=True,
    beat_ago_s=0.5,
    processes_ready=2,
    broker_answers=True,
    deaf_for_s=None,
)


def test_a_worker_that_is_well_lives_and_serves() -> None:
    assert why_not_alive(WELL, HUNG_S) == why_not_ready(WELL) == []


@pytest.mark.parametrize(
    ("vitals", "reason"),
    [
        (replace(WELL, is_stopping=True), "shutting down"),
        (replace(WELL, storing_problem="OutOfMemoryError: full"), "results cannot be stored: OutOfMemoryError: full"),
        (replace(WELL, is_connected=False), "no connection to the broker"),
        (replace(WELL, broker_answers=False), "broker does not answer"),
        (replace(WELL, processes_ready=0), "no process"),
        (replace(WELL, deaf_for_s=31.0), "none was fetched for 31 s"),
        (replace(WELL, beat_ago_s=20.0), "has been blocked for 20 s"),
    ],
)
def test_what_keeps_a_worker_from_serving_does_not_have_it_killed(vitals: Vitals, reason: str) -> None:
    (found,) = why_not_ready(vitals)

    assert reason in found
    assert why_not_alive(vitals, HUNG_S) == []


def test_a_loop_that_hangs_has_the_worker_killed_unless_it_waits_for_the_broker_or_shuts_down() -> None:
    hung = replace(WELL, beat_ago_s=HUNG_S)

    assert why_not_alive(hung, HUNG_S) == ["the event loop has been blocked for 60 s"]
    assert why_not_alive(replace(hung, is_connected=False), HUNG_S) == []
    assert why_not_alive(replace(hung, is_stopping=True), HUNG_S) == []


def test_who_fetches_nothing_while_requests_wait_and_there_is_room_is_deaf_after_a_while() -> None:
    watch = DeafWatch(30.0)

    said = [watch.update(float(at_s), fetched=7, waiting=3, may_fetch=True) for at_s in range(33)]

    # The first look only shows where the count stands.
    assert said[:31] == [None] * 31
    assert said[31:] == [30.0, 31.0]
    assert watch.update(33.0, fetched=8, waiting=2, may_fetch=True) is None


@pytest.mark.parametrize("excuse", [{"fetched": 8}, {"waiting": 0}, {"may_fetch": False}])
def test_a_moment_with_an_excuse_begins_the_while_anew(excuse: dict[str, Any]) -> None:
    watch = DeafWatch(30.0)
    for at_s in range(20):
        watch.update(float(at_s), fetched=7, waiting=3, may_fetch=True)
    watch.update(20.0, **{"fetched": 7, "waiting": 3, "may_fetch": True, **excuse})
    fetched = excuse.get("fetched", 7)

    said = [watch.update(float(at_s), fetched=fetched, waiting=3, may_fetch=True) for at_s in range(21, 53)]

    assert said[:30] == [None] * 30
    assert said[30] == 30.0
