"""Workers announce their models in Redis, and look up who serves another."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from examples.local_stack import LocalServer
from producer.contract import TaskName
from worker.intake.model_registry import ModelAnnouncer, is_announced
from worker.runtime import CeleriacApp

TEXTS, TOPICS, QUESTIONS = TaskName
KEY = "celeriac.models"


class Timer:
    """Celery's timer, whose time passes when the test says so."""

    def __init__(self) -> None:
        self.repeated: list[Callable[[], None]] = []
        self.interval_s = 0.0

    def call_repeatedly(self, seconds: float, function: Callable[..., None], args: tuple[Any, ...]) -> SimpleNamespace:
        self.interval_s = seconds

        def entry() -> None:
            function(*args)

        self.repeated.append(entry)
        return SimpleNamespace(cancel=lambda: self.repeated.remove(entry))

    def tick(self) -> None:
        for entry in self.repeated:
            entry()


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def consumer(app: CeleriacApp, timer: Timer) -> SimpleNamespace:
    return SimpleNamespace(app=app, timer=timer)


@pytest.fixture
def announcer(consumer: SimpleNamespace) -> ModelAnnouncer:
    return ModelAnnouncer(consumer)


def members(client: redis.Redis) -> set[str]:
    found = client.zrange(KEY, 0, -1)
    return {member.decode() for member in found if isinstance(member, bytes)}


def test_every_model_is_announced_for_each_task_that_it_can_do(
    announcer: ModelAnnouncer, consumer: SimpleNamespace, own_redis: redis.Redis, app: CeleriacApp
) -> None:
    assert not is_announced(app, TEXTS, "sentiment")

    announcer.start(consumer)

    assert members(own_redis) == {
        "text-classification:sentiment",
        "text-classification:nli",
        "zero-shot-classification:nli",
    }
    assert is_announced(app, TEXTS, "sentiment")
    assert is_announced(app, TOPICS, "nli")
    assert not is_announced(app, TOPICS, "sentiment")
    assert not is_announced(app, QUESTIONS, "nli")
    assert not is_announced(app, TEXTS, "other")


def test_the_announcements_are_repeated_often_enough_not_to_expire_and_end_with_the_connection(
    announcer: ModelAnnouncer, consumer: SimpleNamespace, own_redis: redis.Redis, timer: Timer
) -> None:
    announcer.start(consumer)
    assert 10 * timer.interval_s < own_redis.ttl(KEY) <= 600

    own_redis.delete(KEY)
    timer.tick()
    assert members(own_redis)

    announcer.stop(consumer)
    own_redis.delete(KEY)
    timer.tick()
    assert members(own_redis) == set()
    announcer.stop(consumer)


def test_a_connection_that_comes_back_has_one_timer(
    announcer: ModelAnnouncer, consumer: SimpleNamespace, timer: Timer
) -> None:
    for _ in range(3):
        announcer.start(consumer)
        announcer.stop(consumer)
    announcer.start(consumer)

    assert len(timer.repeated) == 1


@pytest.mark.parametrize(("ago_s", "is_known"), [(0, True), (590, True), (601, False)])
def test_a_model_of_another_worker_is_known_for_ten_minutes(
    own_redis: redis.Redis, app: CeleriacApp, ago_s: float, is_known: bool
) -> None:
    own_redis.zadd(KEY, {"question-answering:qa": time.time() - ago_s})

    assert is_announced(app, QUESTIONS, "qa") == is_known


def test_what_nobody_has_announced_for_long_is_removed_and_the_others_stay(
    announcer: ModelAnnouncer, consumer: SimpleNamespace, own_redis: redis.Redis
) -> None:
    now_s = time.time()
    own_redis.zadd(KEY, {"question-answering:gone": now_s - 700, "question-answering:qa": now_s - 60})

    announcer.start(consumer)

    assert "question-answering:gone" not in members(own_redis)
    assert "question-answering:qa" in members(own_redis)


@pytest.mark.parametrize(
    ("queues", "announced"),
    [
        (["text-classification"], set()),
        (["model:sentiment"], {"text-classification:sentiment"}),
        (["model.bulk:nli"], set()),
    ],
)
def test_a_worker_announces_only_models_whose_queue_it_consumes(
    announcer: ModelAnnouncer,
    consumer: SimpleNamespace,
    own_redis: redis.Redis,
    app: CeleriacApp,
    queues: list[str],
    announced: set[str],
) -> None:
    app.amqp.queues.select(queues)

    announcer.start(consumer)

    assert members(own_redis) == announced
    assert own_redis.exists(KEY) == bool(announced)


def test_a_broker_that_does_not_answer_is_a_warning_and_the_next_time_may_succeed(
    announcer: ModelAnnouncer,
    consumer: SimpleNamespace,
    own_server: LocalServer,
    own_redis: redis.Redis,
    timer: Timer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    announcer.start(consumer)
    own_redis.delete(KEY)
    own_server.stop()

    timer.tick()

    assert "could not announce this worker's models" in caplog.text
    own_server.start()
    timer.tick()
    assert members(own_redis)
