"""The Celery configuration that is made from the settings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.app.defaults import DEFAULTS
from kombu import Queue
from kombu.utils.imports import symbol_by_name

from config import load_settings
from producer.contract import DEFAULT_QUEUE, TaskName
from worker import celery_options as options_module
from worker.celery_options import EVENTS, TRANSPORT, celery_options
from worker.observability.events import EventDispatcher, Events
from worker.pool import TaskPool
from worker.results.backend import RESULT_BACKENDS, RedisBackend
from worker.transport import AMQP
from worker.transport.channel import Channel

ALL_TASKS = list(TaskName)
#: How Celery and kombu name a class in a string.
CLASS_NAME = re.compile(r"[a-z_]\w*(\.\w+)+:[A-Z]\w*")
WORKER = Path(options_module.__file__).parent


def class_names() -> Iterator[str]:
    """All strings in the worker's code that name a class for Celery to import, and those that it computes."""
    for source in sorted(WORKER.rglob("*.py")):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CLASS_NAME.fullmatch(node.value):
                yield node.value
    yield Events.dispatcher_cls
    yield from RESULT_BACKENDS.values()


def options(tasks: list[TaskName] = ALL_TASKS, models: Sequence[str] = ()) -> dict[str, Any]:
    return celery_options(load_settings(), tasks, models)


@pytest.fixture
def app() -> Celery:
    """An app with our configuration."""
    app = Celery("configured", set_as_current=False)
    app.conf.update(options())
    return app


def test_celery_knows_every_option() -> None:
    # Celery's documentation has both, its table of options has not.
    undeclared = {"visibility_timeout", "redis_backend_health_check_interval"}
    assert set(options()) - set(DEFAULTS) == undeclared


def test_only_json_is_accepted_and_sent() -> None:
    made = options()
    assert made["accept_content"] == ["json"]
    assert {made[f"{kind}_serializer"] for kind in ("task", "result", "event")} == {"json"}


def test_a_request_is_acknowledged_when_it_is_done_and_one_that_kills_its_process_is_not_repeated(app: Celery) -> None:
    assert app.conf.task_acks_late is True
    assert app.conf.task_acks_on_failure_or_timeout is True
    assert app.conf.task_reject_on_worker_lost is False


def test_broker_and_backend_agree_on_the_visibility_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_TIME_VISIBILITY_TIMEOUT_S", "77")
    made = options()
    assert made["broker_transport_options"]["visibility_timeout"] == 77
    assert made["result_backend_transport_options"]["visibility_timeout"] == 77
    assert made["visibility_timeout"] == 77


def test_the_time_limits_and_the_expiry_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("SOFT_LIMIT_S", "5"), ("HARD_LIMIT_S", "6"), ("RESULT_EXPIRES_S", "7")):
        monkeypatch.setenv(f"CELERIAC_TIME_{name}", seconds)
    made = options()
    assert (made["task_soft_time_limit"], made["task_time_limit"]) == (5, 6)
    assert made["result_expires"] == 7


def test_the_transport_learns_how_much_is_kept_of_dead_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MAX_LETTERS", "5"), ("MAX_BYTES", "70000"), ("MAX_AGE_S", "60"), ("CONTENT", "false")):
        monkeypatch.setenv(f"CELERIAC_DEAD_{name}", value)

    known = {name: value for name, value in options()["broker_transport_options"].items() if "dead_letter" in name}

    assert known == {
        "dead_letter_length": 5,
        "dead_letter_bytes": 70_000,
        "dead_letter_ttl": 60,
        "dead_letter_content": False,
    }
    assert known.keys() <= set(Channel.from_transport_options)


def test_interactive_queues_come_before_bulk_ones_and_those_of_stock_producers_first() -> None:
    assert [queue.name for queue in options()["task_queues"]] == [
        DEFAULT_QUEUE,
        "text-classification",
        "zero-shot-classification",
        "question-answering",
        "text-classification.bulk",
        "zero-shot-classification.bulk",
        "question-answering.bulk",
    ]


def test_only_the_queues_of_the_served_tasks_and_models_are_read() -> None:
    names = [queue.name for queue in options([TaskName.QUESTION_ANSWERING], ["qa", "mine"])["task_queues"]]
    assert names == [
        DEFAULT_QUEUE,
        "question-answering",
        "model:qa",
        "model:mine",
        "question-answering.bulk",
        "model.bulk:qa",
        "model.bulk:mine",
    ]


def test_each_queue_is_bound_as_celery_binds_a_queue_that_a_stock_producer_names(app: Celery) -> None:
    stock = Celery("stock", set_as_current=False)

    def binding(queue: Queue) -> tuple[Any, ...]:
        exchange = queue.exchange
        return queue.name, queue.routing_key, queue.durable, exchange.name, exchange.type, exchange.durable

    queues = list(app.amqp.queues.values())
    assert len(queues) == 7
    for queue in queues:
        assert binding(queue) == binding(stock.amqp.queues[queue.name])


def test_a_message_without_a_queue_goes_where_a_stock_producer_sends_it(app: Celery) -> None:
    assert app.amqp.router.route({}, "any")["queue"].name == DEFAULT_QUEUE


def test_results_go_to_the_broker_unless_they_have_a_server_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_BROKER_URL", "redis://user:password@broker:1/2")
    assert options()["result_backend"] == options()["broker_url"] == "redis://user:password@broker:1/2"
    monkeypatch.setenv("CELERIAC_RESULT_BACKEND_URL", "redis://results:1/2")
    assert (options()["broker_url"], options()["result_backend"]) == (
        "redis://user:password@broker:1/2",
        "redis://results:1/2",
    )


def test_no_wait_for_the_broker_or_the_backend_is_without_end() -> None:
    made = options()
    for wait in (
        made["broker_transport_options"]["socket_timeout"],
        made["broker_transport_options"]["socket_connect_timeout"],
        made["redis_socket_timeout"],
        made["redis_socket_connect_timeout"],
    ):
        assert 0 < wait < load_settings().time.visibility_timeout_s


@pytest.mark.parametrize("name", sorted(set(class_names())))
def test_every_class_that_is_named_in_a_string_exists(name: str) -> None:
    assert isinstance(symbol_by_name(name), type)


def test_the_names_are_those_that_celery_is_given() -> None:
    named = {value for value in options().values() if isinstance(value, str) and CLASS_NAME.fullmatch(value)}
    named |= {TRANSPORT, EVENTS, options()["broker_transport_options"]["queue_order_strategy"]}

    assert {"worker.pool:TaskPool", "worker.intake.consumer:Consumer", "worker.scaling.autoscaler:Autoscaler"} < named
    assert named < set(class_names())


def test_celery_finds_our_classes_by_their_names() -> None:
    app = Celery("named", amqp=TRANSPORT, events=EVENTS, set_as_current=False)
    app.conf.update(options())
    app.loader.override_backends = RESULT_BACKENDS

    assert type(app.amqp) is AMQP
    assert symbol_by_name(app.events.dispatcher_cls) is EventDispatcher
    assert isinstance(app.backend, RedisBackend)
    assert symbol_by_name(app.conf.worker_pool) is TaskPool
