"""A service that has Celery and nothing of this project."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from producer import Client, TextClassificationRequest
from producer.contract import QueueClass, TaskName, queue_name

pytestmark = pytest.mark.usefixtures("worker")

ROOT = Path(__file__).resolve().parents[2]
GOOD = {"inputs": "a charming and often affecting journey"}

#: Runs in a process of its own, from which this project cannot be imported.
SERVICE = """
import json, sys
sys.path[:] = [entry for entry in sys.path if entry and entry != sys.argv[2]]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
try:
    import producer
except ImportError:
    pass
else:
    sys.exit("this project can be imported: " + producer.__file__)
from celery import Celery
app = Celery(broker=sys.argv[1], backend=sys.argv[1])
good = app.send_task("text-classification", kwargs={"inputs": "a charming and often affecting journey"})
bad = app.send_task("text-classification", kwargs={"inputs": ""})
answer = good.get(timeout=300)
try:
    bad.get(timeout=300)
except Exception as error:
    print(json.dumps({"answer": answer, "name": type(error).__name__, "args": error.args}))
"""


def test_a_service_that_cannot_import_this_project_gets_answers_and_errors_that_it_can_rebuild(
    server: LocalServer, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVICE, server.url, str(ROOT)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    (best,) = seen["answer"]
    assert best["label"] == "POSITIVE"
    assert best["score"] > 0.9
    assert seen["name"] == "InvalidRequest"
    assert seen["args"] == ["inputs: must not be empty", {"code": "empty", "field": "inputs", "limit": None}]


@pytest.mark.parametrize("queue", [None, "text-classification", "text-classification.bulk"])
def test_a_stock_producer_may_name_the_queue_or_leave_it(stock: Celery, queue: str | None) -> None:
    options = {"queue": queue} if queue else {}

    (best,) = stock.send_task("text-classification", kwargs=GOOD, **options).get(timeout=PATIENCE_S)

    assert best["label"] == "POSITIVE"


def test_one_input_gives_a_list_of_labels_and_a_list_gives_a_list_of_those(stock: Celery) -> None:
    one = stock.send_task("text-classification", kwargs={**GOOD, "top_k": None}).get(timeout=PATIENCE_S)
    several = stock.send_task("text-classification", kwargs={"inputs": ["good", "bad"]}).get(timeout=PATIENCE_S)
    single_in_list = stock.send_task("text-classification", kwargs={"inputs": ["good"]}).get(timeout=PATIENCE_S)

    assert [entry["label"] for entry in one] == ["POSITIVE", "NEGATIVE"]
    assert [[entry["label"] for entry in labels] for labels in several] == [["POSITIVE"], ["NEGATIVE"]]
    assert [entry["label"] for entry in single_in_list[0]] == ["POSITIVE"]


def test_our_client_and_a_stock_one_get_the_same_answer(stock: Celery, client: Client) -> None:
    assert client.classify(GOOD["inputs"]) == stock.send_task("text-classification", kwargs=GOOD).get(
        timeout=PATIENCE_S
    )


def test_the_model_that_answered_its_revision_and_its_arithmetic_are_in_the_results_metadata(client: Client) -> None:
    answer = client.wait(client.submit(TextClassificationRequest.parse(GOOD)))

    assert answer.model is not None
    assert answer.model["name"] == "sentiment"
    assert len(answer.model["revision"]) == 12
    assert answer.model["arithmetic"] == "int8"


def test_a_late_request_ends_revoked_as_everywhere_in_celery(stock: Celery) -> None:
    late = stock.send_task("text-classification", kwargs=GOOD, expires="2020-01-01T00:00:00+00:00")

    with pytest.raises(TaskRevokedError, match="expired"):
        late.get(timeout=PATIENCE_S)
    assert late.state == "REVOKED"


def test_a_task_that_this_worker_does_not_serve_is_moved_to_its_queue_unchanged(
    own_server: LocalServer, tmp_path: Path
) -> None:
    kwargs = {"question": "Who?", "context": "She did."}
    queue = queue_name(TaskName.QUESTION_ANSWERING)
    environment = {
        "CELERIAC_BROKER_URL": own_server.url,
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path / "leases"),
        "CELERIAC_MODELS": "sentiment",
    }
    service = Celery("service", broker=own_server.url, backend=own_server.url, set_as_current=False)

    with LocalWorker(["--concurrency=1"], environment) as worker:
        worker.wait_until_ready()
        sent = service.send_task("question-answering", kwargs=kwargs, priority=3)
        worker.wait_for(lambda: f"moved question-answering[{sent.id}] to the queue {queue}" in worker.log)

    with service.connection() as connection:
        message = connection.default_channel.basic_get(queue, no_ack=True)
    service.close()
    assert message.headers["id"] == sent.id
    assert message.headers["task"] == "question-answering"
    assert message.properties["priority"] == 3
    assert message.payload == [[], kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


def test_a_callback_that_a_stock_producer_links_is_called(stock: Celery) -> None:
    linked = stock.signature("text-classification", kwargs={"inputs": "dull"}, immutable=True)
    linked.freeze()

    stock.send_task("text-classification", kwargs=GOOD, link=linked).get(timeout=PATIENCE_S)

    (best,) = stock.AsyncResult(linked.id).get(timeout=PATIENCE_S)
    assert best["label"] == "NEGATIVE"


def test_interactive_requests_that_wait_are_answered_before_bulk_ones(client: Client, stock: Celery) -> None:
    text = "a long walk along the shore " * 60
    bulk = [
        client.submit(TextClassificationRequest.parse({"inputs": [text] * 32}), queue_class=QueueClass.BULK)
        for _ in range(12)
    ]
    interactive = client.submit(TextClassificationRequest.parse(GOOD))

    client.wait(interactive, timeout_s=PATIENCE_S)

    assert not all(stock.AsyncResult(request_id).ready() for request_id in bulk)
    for request_id in bulk:
        client.wait(request_id, timeout_s=PATIENCE_S)
