"""What spans cost a worker without a tracer provider, and the observers of a batch."""

from __future__ import annotations

import logging

import pytest
from celery import signals

from producer.contract.telemetry import current_tracer
from worker.observability.otel.spans import RequestSpans
from worker.pool import work_context

SIGNALS = (signals.task_prerun, signals.task_postrun, signals.before_task_publish)


def test_without_a_tracer_provider_the_first_request_ends_all_observation() -> None:
    assert current_tracer() is None
    before = [list(signal.receivers) for signal in SIGNALS]
    RequestSpans().connect()
    connected = [len(signal.receivers) for signal in SIGNALS]

    answers = signals.task_prerun.send(sender=None, task=None)

    assert connected == [len(receivers) + 1 for receivers in before]
    assert [signal.receivers for signal in SIGNALS] == before
    assert not any(isinstance(answer, Exception) for _, answer in answers)


def test_an_observer_that_fails_harms_neither_the_batch_nor_other_observers(caplog: pytest.LogCaptureFixture) -> None:
    called: list[str] = []

    def broken() -> None:
        raise LookupError("no span")

    batch = work_context.begin([])
    batch.at_end += [broken, lambda: called.append("the other")]
    with caplog.at_level(logging.ERROR):
        work_context.end()

    assert work_context.batch() is None
    assert called == ["the other"]
    assert "an observer of batches failed" in caplog.text
