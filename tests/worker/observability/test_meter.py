"""What is counted of a request, whatever its sender wrote into it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from models.engine.usage import Usage
from producer.contract import SENT_AT_HEADER
from worker.observability.metrics.histogram import Histogram
from worker.observability.metrics.meter import Meter, RequestOutcome, RequestSeries, Since

TASK = "text-classification"


@dataclass
class Request:
    """As much of Celery's request as the meter reads."""

    headers: dict[str, Any] = field(default_factory=dict)
    args: Any = ()
    kwargs: Any = field(default_factory=dict)
    queue: str = TASK
    received_s: float | None = None
    since: Since = Since.RECEIVED
    timed_from_s: float | None = None
    series: RequestSeries | None = None
    is_counted: bool = False
    name: str = TASK

    @property
    def _request_dict(self) -> dict[str, Any]:
        return self.headers

    @property
    def delivery_info(self) -> dict[str, Any]:
        return {"routing_key": self.queue}


@pytest.fixture
def meter() -> Meter:
    made = Meter()
    made.set_models({TASK: ["sentiment", "nli"]})
    return made


def went_through(meter: Meter, **fields: Any) -> Request:
    request: Any = Request(**fields)
    meter.on_received(request)
    meter.on_started(request)
    meter.on_ended(request, RequestOutcome.SUCCEEDED)
    return request  # type: ignore[no-any-return]  # it is one


def count(histogram: Histogram) -> int:
    return list(histogram.buckets())[-1][1]


def test_a_request_that_says_when_it_was_sent_is_measured_from_then(meter: Meter) -> None:
    request = went_through(meter, headers={SENT_AT_HEADER: time.time() - 20})

    assert request.series is not None
    assert 20 <= request.series.wait[Since.SENT].sum < 60
    assert 20 <= request.series.total[Since.SENT].sum < 60
    assert count(request.series.wait[Since.RECEIVED]) == 0


@pytest.mark.parametrize(
    "sent_at",
    [None, "yesterday", True, -1, 0, 10**400, -(10**400), float("nan"), float("inf"), [1.0], 1.5e9],
    ids=str,
)
def test_a_moment_that_cannot_be_is_not_believed(meter: Meter, sent_at: Any) -> None:
    request = went_through(meter, headers={SENT_AT_HEADER: sent_at})

    assert request.series is not None
    assert count(request.series.wait[Since.RECEIVED]) == 1
    assert count(request.series.wait[Since.SENT]) == 0


def test_a_senders_clock_that_is_ahead_makes_no_negative_time(meter: Meter) -> None:
    request = went_through(meter, headers={SENT_AT_HEADER: time.time() + 3600})

    assert request.series is not None
    assert count(request.series.wait[Since.SENT]) == 1
    assert 0 <= request.series.total[Since.SENT].sum < 60


def test_models_that_nobody_has_share_one_label(meter: Meter) -> None:
    for model in (None, "nli", "made-up", ["a", "list"], 3):
        went_through(meter, kwargs={"model": model})
    went_through(meter, kwargs=["no", "object"], queue=f"{TASK}.bulk")

    counts = {labels: series.outcomes[RequestOutcome.SUCCEEDED] for labels, series in meter.requests.items()}
    assert counts == {
        (TASK, "sentiment", "interactive"): 1,
        (TASK, "nli", "interactive"): 1,
        (TASK, "other", "interactive"): 3,
        (TASK, "sentiment", "bulk"): 1,
    }


def test_a_request_that_runs_again_waits_once_and_ends_once(meter: Meter) -> None:
    request: Any = Request()
    meter.on_received(request)
    for _ in range(3):
        meter.on_started(request)
    for outcome in (RequestOutcome.FAILED, RequestOutcome.SUCCEEDED):
        meter.on_ended(request, outcome, "process_died")

    assert count(request.series.wait[Since.RECEIVED]) == 1
    assert request.series.outcomes == {RequestOutcome.FAILED: 1}
    assert meter.errors == {(TASK, "process_died"): 1}


def test_a_revoked_request_has_no_latency(meter: Meter) -> None:
    request: Any = Request(headers={SENT_AT_HEADER: time.time()})
    meter.on_received(request)
    meter.on_ended(request, RequestOutcome.EXPIRED)

    series = meter.series_of(TASK, None, TASK)
    assert series.outcomes == {RequestOutcome.EXPIRED: 1}
    assert not any(count(histogram) for histogram in series.total.values())


def test_batches_add_up(meter: Meter) -> None:
    meter.on_batch((TASK, None), 8, 0.5, Usage(2, 100, 28, 0.4))
    meter.on_batch((TASK, "sentiment"), 4, 0.25, Usage(1, 50, 14, 0.2))
    meter.on_batch((TASK, "made-up"), 1, 0.01, None)

    series = meter.batches[TASK, "sentiment"]
    assert (series.sizes.sum, series.seconds.sum) == (12, 0.75)
    assert series.usage == pytest.approx(Usage(3, 150, 42, 0.6))
    assert count(meter.batches[TASK, "other"].sizes) == 1


def test_a_value_on_a_bound_is_below_it_as_prometheus_has_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (1.0, 1.5, 2.0, 3.0):
        histogram.observe(value)

    assert list(histogram.buckets()) == [("1.0", 1), ("2.0", 3), ("+Inf", 4)]
    assert histogram.sum == 7.5
