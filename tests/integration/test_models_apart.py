"""Each model on a worker of its own: a request that names a model is answered by the worker that has it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from models.store import BUNDLED_DIRECTORY, CONFIG_NAME, StoredModel, find
from models.store.manifest import record_files
from producer import Client, TextClassificationRequest, UnknownModel
from producer.contract import ErrorCode, QueueClass, TaskName, model_queue_name
from tests.conftest import plain_celery

PAIR = {"text": "The dog sleeps on the sofa.", "text_pair": "The dog is asleep."}


def renamed(model: StoredModel, directory: Path, *labels: str) -> None:
    """A copy of a model, with its directory's name and other labels."""
    shutil.copytree(model.directory, directory)
    config = json.loads((directory / CONFIG_NAME).read_bytes())
    names = dict(enumerate(labels))
    (directory / CONFIG_NAME).write_text(json.dumps({**config, "id2label": names}), encoding="utf-8")
    files = record_files(directory, list(model.manifest.files))
    model.manifest.model_copy(update={"name": directory.name, "files": files}).write(directory)


@pytest.fixture(scope="module")
def own_server() -> Iterator[LocalServer]:
    """A server for the two workers."""
    with LocalServer() as started:
        yield started


@pytest.fixture(scope="module")
def workers(
    own_server: LocalServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LocalWorker, LocalWorker]]:
    """One that serves ``sentiment``, and one that serves ``mine`` and ``nli``."""
    room = tmp_path_factory.mktemp("models")
    renamed(find("sentiment", BUNDLED_DIRECTORY), room / "mine", "BAD", "GOOD")
    common = {
        "CELERIAC_BROKER_URL": own_server.url,
        "CELERIAC_MODEL_DIR": str(room),
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path_factory.mktemp("leases")),
        "CELERIAC_CORES_ALLOW_SHARING": "true",
    }
    one = ["--concurrency=1", "--hostname=one@%h"], {**common, "CELERIAC_MODELS": "sentiment"}
    other = ["--concurrency=1", "--hostname=other@%h"], {**common, "CELERIAC_MODELS": "mine,nli"}
    with LocalWorker(*one) as first, LocalWorker(*other) as second:
        first.wait_until_ready()
        second.wait_until_ready()
        yield first, second


@pytest.fixture
def asking(own_server: LocalServer, workers: tuple[LocalWorker, LocalWorker]) -> Iterator[Client]:
    """A client of both workers."""
    assert all(worker.pid for worker in workers)
    with Client(own_server.url, timeout_s=PATIENCE_S) as connected:
        yield connected


@pytest.fixture
def apart(own_server: LocalServer, workers: tuple[LocalWorker, LocalWorker]) -> Iterator[Celery]:
    """Plain Celery beside both workers."""
    assert all(worker.pid for worker in workers)
    yield from plain_celery(own_server)


@pytest.mark.parametrize("queue_class", list(QueueClass))
def test_every_request_that_names_a_model_is_answered_by_it_whoever_fetched_it(
    asking: Client, queue_class: QueueClass
) -> None:
    names = ["sentiment", "mine", None] * 20
    requests = [TextClassificationRequest.parse({"inputs": "A delight.", "model": name}) for name in names]

    sent = [asking.submit(request, queue_class=queue_class) for request in requests]
    answers = [asking.wait(request_id) for request_id in sent]

    labels = {"sentiment": "POSITIVE", "mine": "GOOD"}
    for name, answer in zip(names, answers, strict=True):
        assert answer.model is not None
        assert name in {answer.model["name"], None}
        assert answer.result[0]["label"] == labels[answer.model["name"]]


def test_a_plain_celery_producer_names_the_model_and_no_queue(apart: Celery) -> None:
    sent = [
        apart.send_task(TaskName.TEXT_CLASSIFICATION.value, kwargs={"inputs": "A delight.", "model": name})
        for name in ["sentiment", "mine"] * 5
    ]
    assert [result.get(timeout=PATIENCE_S)[0]["label"] for result in sent] == ["POSITIVE", "GOOD"] * 5


def test_a_zero_shot_model_on_another_worker_labels_pairs_when_it_is_named(asking: Client) -> None:
    labels = [asking.classify(PAIR, model="nli")[0]["label"] for _ in range(6)]
    assert labels == ["entailment"] * 6


def test_a_model_that_no_worker_has_is_a_typed_error_and_waits_nowhere(asking: Client, own_server: LocalServer) -> None:
    for name in ("nobody-has-it", "odd name", "a:b", "x" * 200):
        with pytest.raises(UnknownModel) as caught:
            asking.classify("A delight.", model=name)
        assert caught.value.code is ErrorCode.UNKNOWN_MODEL
    with redis.Redis.from_url(own_server.url) as connected:
        assert not [key for key in connected.scan_iter() if b"nobody" in key]


def test_a_model_of_another_task_is_a_typed_error(asking: Client) -> None:
    with pytest.raises(UnknownModel):
        asking.classify_zero_shot("A delight.", ["a", "b"], model="mine")


def test_the_queue_of_a_model_may_be_named_and_a_wrong_one_is_put_right(apart: Celery) -> None:
    for name, label in (("mine", "GOOD"), ("sentiment", "POSITIVE")):
        sent = apart.send_task(
            TaskName.TEXT_CLASSIFICATION.value,
            kwargs={"inputs": "A delight.", "model": name},
            queue=model_queue_name("mine"),
        )
        assert sent.get(timeout=PATIENCE_S)[0]["label"] == label
