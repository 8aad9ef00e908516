"""Celery's canvas: chains, groups, chords, links from and into the tasks of a caller's own app, on its own queue."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, chain, chord, group
from celery.canvas import Signature

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker

pytestmark = pytest.mark.usefixtures("worker", "callers_worker")

APP = Path(__file__).with_name("callers_app.py")
OWN_QUEUE = "callers"
TEXT = "a charming and often affecting journey"


class CallersWorker(LocalWorker):
    """A worker of the caller's app."""

    def __init__(self, server: LocalServer, *arguments: str) -> None:
        super().__init__(environment={"BROKER": server.url})
        command = [sys.executable, "-W", "ignore", str(APP), "worker", "--loglevel=INFO", "--concurrency=1"]
        self._command = [*command, *arguments]

    def wait_until_ready(self, timeout_s: float = PATIENCE_S) -> float:
        self.wait_for(lambda: " ready." in self.log, timeout_s)
        return timeout_s


@pytest.fixture(scope="module")
def callers_worker(server: LocalServer) -> Iterator[CallersWorker]:
    with CallersWorker(server, "-Q", OWN_QUEUE, "-n", "callers@%h") as started:
        started.wait_until_ready()
        yield started


@pytest.fixture
def ours(stock: Celery) -> Callable[..., Signature]:
    """A signature of one of our tasks, on its own queue."""

    def ours(task: str, *args: Any, **kwargs: Any) -> Signature:
        return stock.signature(task, args=args, kwargs=kwargs, queue=task)

    return ours


@pytest.fixture
def theirs(stock: Celery) -> Callable[..., Signature]:
    """A signature of one of the caller's tasks, on the caller's queue."""

    def theirs(task: str, *args: Any, **kwargs: Any) -> Signature:
        return stock.signature(f"callers.{task}", args=args, kwargs=kwargs, queue=OWN_QUEUE)

    return theirs


def test_a_text_by_position_is_the_first_parameter(stock: Celery) -> None:
    (by_position,) = stock.send_task("text-classification", args=[TEXT]).get(timeout=PATIENCE_S)
    (by_name,) = stock.send_task("text-classification", kwargs={"inputs": TEXT}).get(timeout=PATIENCE_S)

    assert by_position == by_name


def test_positional_arguments_fill_what_keywords_leave_open(stock: Celery) -> None:
    sent = stock.send_task("zero-shot-classification", args=[TEXT, ["film", "food"]], kwargs={"multi_label": True})

    answer = sent.get(timeout=PATIENCE_S)

    assert sorted(answer["labels"]) == ["film", "food"]
    assert answer["sequence"] == TEXT


def test_a_model_by_position_is_answered_by_that_model(stock: Celery) -> None:
    (by_position,) = stock.send_task("text-classification", args=[TEXT, 1, None, True, "sentiment"]).get(
        timeout=PATIENCE_S
    )

    assert by_position["label"] == "POSITIVE"


def test_more_arguments_than_parameters_get_a_typed_error(stock: Celery) -> None:
    with pytest.raises(Exception, match="args: 9 positional arguments") as caught:
        stock.send_task("text-classification", args=[TEXT] * 9).get(timeout=PATIENCE_S)

    assert type(caught.value).__name__ == "InvalidRequest"
    assert caught.value.args[1] == {"code": "too_many", "field": "args", "limit": 8}


def test_a_chain_goes_from_a_callers_task_through_ours_to_a_callers(
    ours: Callable[..., Signature], theirs: Callable[..., Signature]
) -> None:
    steps = chain(theirs("extract", "film"), ours("text-classification"), theirs("best"))

    assert steps.apply_async().get(timeout=PATIENCE_S) == "POSITIVE"


def test_a_chains_result_becomes_the_context_of_a_question(
    ours: Callable[..., Signature], theirs: Callable[..., Signature]
) -> None:
    steps = chain(theirs("extract", "bridge"), ours("question-answering", question="Who designed the bridge?"))

    assert steps.apply_async().get(timeout=PATIENCE_S)["answer"] == "Ingrid Halvorsen"


def test_a_chains_result_becomes_the_text_of_a_zero_shot_request(
    ours: Callable[..., Signature], theirs: Callable[..., Signature]
) -> None:
    labels = ["bridge", "food"]
    steps = chain(theirs("extract", "bridge"), ours("zero-shot-classification", candidate_labels=labels))

    assert steps.apply_async().get(timeout=PATIENCE_S)["labels"][0] == "bridge"


def test_a_group_is_answered_in_order(ours: Callable[..., Signature]) -> None:
    parts = group([ours("text-classification", text) for text in ("good", "bad", "good")])

    answers = parts.apply_async().get(timeout=PATIENCE_S)

    assert [labels[0]["label"] for labels in answers] == ["POSITIVE", "NEGATIVE", "POSITIVE"]


def test_a_chord_of_ours_ends_in_a_callers_task(
    ours: Callable[..., Signature], theirs: Callable[..., Signature]
) -> None:
    parts = [ours("text-classification", text) for text in ("good", "bad")]

    answers = chord(parts)(theirs("collect")).get(timeout=PATIENCE_S)

    assert [labels[0]["label"] for labels in answers] == ["POSITIVE", "NEGATIVE"]


def test_a_chord_of_callers_tasks_ends_in_ours(
    ours: Callable[..., Signature], theirs: Callable[..., Signature]
) -> None:
    parts = [theirs("extract", page) for page in ("film", "bridge")]

    answers = chord(parts)(ours("text-classification")).get(timeout=PATIENCE_S)

    assert len(answers) == 2


@pytest.mark.parametrize("part", ["bad arguments", "unknown task"])
def test_a_chord_with_a_part_that_fails_fails(
    stock: Celery, ours: Callable[..., Signature], theirs: Callable[..., Signature], part: str
) -> None:
    bad = ours("text-classification", "") if part == "bad arguments" else stock.signature("nobodys", queue="celery")

    body = chord([ours("text-classification", "good"), bad])(theirs("collect"))

    # Of the body alone: the result that the chord gave raises its part's error before.
    with pytest.raises(Exception, match="Dependency"):
        stock.AsyncResult(body.id).get(timeout=PATIENCE_S)


def test_a_chain_with_a_step_that_nobody_runs_fails_to_its_end(
    stock: Celery, ours: Callable[..., Signature], theirs: Callable[..., Signature]
) -> None:
    steps = chain(ours("text-classification", "good"), stock.signature("nobodys", queue="celery"), theirs("best"))

    with pytest.raises(Exception, match="there is no task 'nobodys'"):
        steps.apply_async().get(timeout=PATIENCE_S)


def test_a_link_and_an_errback_on_the_callers_queue_are_called(
    stock: Celery, redis_client: redis.Redis, worker: LocalWorker, theirs: Callable[..., Signature]
) -> None:
    linked, key = theirs("best"), str(uuid.uuid4())
    linked.freeze()

    stock.send_task("text-classification", args=["good"], link=linked)
    failed = stock.send_task("text-classification", args=[""], link_error=theirs("note", key=key))

    assert stock.AsyncResult(linked.id).get(timeout=PATIENCE_S) == "POSITIVE"
    worker.wait_for(lambda: redis_client.get(key) == failed.id.encode(), PATIENCE_S)


def test_an_errback_of_a_request_that_no_task_sees_is_called(
    stock: Celery, redis_client: redis.Redis, worker: LocalWorker, theirs: Callable[..., Signature]
) -> None:
    key = str(uuid.uuid4())

    refused = stock.send_task("nobodys", queue="text-classification", link_error=theirs("note", key=key))

    worker.wait_for(lambda: redis_client.get(key) == refused.id.encode(), PATIENCE_S)


def test_a_step_without_a_queue_goes_back_to_the_worker_that_runs_it(
    stock: Celery, server: LocalServer, worker: LocalWorker, redis_client: redis.Redis, ours: Callable[..., Signature]
) -> None:
    key = str(uuid.uuid4())
    with CallersWorker(server, "-Q", "celery", "-n", "default@%h", "--prefetch-multiplier=1") as owner:
        owner.wait_until_ready()
        # While its owner is busy a message is fetched here, again and again.
        stock.send_task("callers.block", args=[key], queue="celery")
        owner.wait_for(lambda: "callers.block" in owner.log.partition(" ready.")[2], PATIENCE_S)
        steps = chain(ours("text-classification", "good"), stock.signature("callers.best")).apply_async()
        others = [stock.send_task("callers.best", args=[[{"label": number}]]) for number in range(20)]
        worker.wait_for(lambda: f"gave callers.best[{others[-1].id}] back" in worker.log, PATIENCE_S)

        (ours_meanwhile,) = stock.send_task("text-classification", args=["bad"]).get(timeout=PATIENCE_S)
        redis_client.rpush(key, "go")

        assert ours_meanwhile["label"] == "NEGATIVE"
        assert steps.get(timeout=PATIENCE_S) == "POSITIVE"
        assert [other.get(timeout=PATIENCE_S) for other in others] == list(range(20))


def test_a_task_whose_owner_does_not_fetch_from_that_queue_gets_a_typed_error(stock: Celery) -> None:
    with pytest.raises(Exception, match=r"there is no task 'callers\.extract'") as caught:
        stock.send_task("callers.extract", args=["film"], queue="text-classification").get(timeout=PATIENCE_S)

    assert type(caught.value).__name__ == "UnknownTask"
