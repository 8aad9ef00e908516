"""A model that computes NaN or an infinite number for one request fails that request, and answers its neighbours."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from producer import Client, ErrorCode, ModelFailed
from tests.conftest import PATIENT
from tests.faulty_models import CURSED, prepare_faulty

GOOD, BAD = "A delight.", f"A {CURSED}."
TASKS: dict[str, Any] = {
    "text-classification": lambda text: {"inputs": text},
    "zero-shot-classification": lambda text: {"inputs": text, "candidate_labels": ["joy", "health"]},
    "question-answering": lambda text: {"question": "What is it?", "context": text},
}
#: By task: the bundled model that the faulty one is like, and what it computes.
MODELS = {
    "text-classification": ("sentiment", math.nan),
    "zero-shot-classification": ("nli", math.inf),
    "question-answering": ("qa", -math.inf),
}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server of these tests' own: on the shared one, the worker of other tests would answer too."""
    with LocalServer() as started:
        yield started


@pytest.fixture(scope="module")
def faulty(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalWorker]:
    """A worker with one process that serves the faulty models."""
    models_dir = tmp_path_factory.mktemp("models")
    names = [prepare_faulty(models_dir, like, value) for like, value in MODELS.values()]
    environment = {
        "CELERIAC_BROKER_URL": server.url,
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path_factory.mktemp("leases")),
        "CELERIAC_MODELS": ",".join(names),
        "CELERIAC_MODEL_DIR": str(models_dir),
        **PATIENT,
    }
    with LocalWorker(["--concurrency=1"], environment) as worker:
        worker.wait_until_ready()
        yield worker


def strict(text: Any) -> Any:
    """Parse JSON as other languages do: Python's parser also takes ``NaN`` and ``Infinity``."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("task", TASKS)
def test_neighbours_are_answered_and_what_is_stored_is_json(
    faulty: LocalWorker, stock: Celery, redis_client: redis.Redis, task: str
) -> None:
    pids = faulty.processes
    arguments = TASKS[task]
    texts = [BAD if index == 3 else GOOD for index in range(8)]

    sent = [stock.send_task(task, kwargs=arguments(text), queue=task) for text in texts]
    found = [result.get(timeout=PATIENCE_S, propagate=False) for result in sent]

    assert [isinstance(one, Exception) for one in found] == [text == BAD for text in texts]
    assert type(found[3]).__name__ == "ModelFailed"
    stored = [strict(redis_client.get(f"celery-task-meta-{result.id}")) for result in sent]
    assert stored[3]["model"]["name"] == f"faulty-{MODELS[task][0]}"
    assert "it computed NaN or an infinite number" in str(stored[3]["result"])
    assert faulty.processes == pids


def test_one_item_of_a_request_fails_alone(faulty: LocalWorker, client: Client) -> None:
    found: Any = client.classify([GOOD, BAD, GOOD])

    assert found[0] == found[2]
    assert found[1]["error"]["code"] == ErrorCode.MODEL_FAILED
    with pytest.raises(ModelFailed, match="NaN or an infinite number"):
        client.classify(BAD, function_to_apply="none")
    faulty.wait_for(lambda: "computed NaN or an infinite number for 1 of 3 items" in faulty.log)
