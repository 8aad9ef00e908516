"""What an operator sees, and what must not be seen."""

from __future__ import annotations

import json
import threading
from typing import Any

from celery import Celery

from examples.local_stack import PATIENCE_S, LocalWorker

SECRET = "my doctor says it is nothing"  # noqa: S105 - a text, not a password
NAME = "Zebediah"
LONG_SECRET = (SECRET + " ") * 60


def test_inspect_tells_the_cores_of_each_process(worker: LocalWorker, stock: Celery) -> None:
    (stats,) = stock.control.inspect(timeout=PATIENCE_S, limit=1).stats().values()

    assert {int(pid) for pid in stats["pool"]["cores"]} == set(worker.processes.values())
    assert stats["pool"]["max-concurrency"] == len(worker.processes)


def test_the_pool_does_not_grow_beyond_its_cores(worker: LocalWorker, stock: Celery) -> None:
    (reply,) = stock.control.pool_grow(1, reply=True, timeout=PATIENCE_S, limit=1)

    assert "no cores for 1 more process" in json.dumps(reply)
    assert worker.log.count("could not start") == 0


def test_a_requests_text_is_in_no_event_no_log_line_and_no_inspection(worker: LocalWorker, stock: Celery) -> None:
    requests: list[tuple[str, dict[str, Any]]] = [
        *[("text-classification", {"inputs": [LONG_SECRET] * 32})] * 4,
        ("text-classification", {"inputs": SECRET, "unknown": SECRET}),
        # Results of these two repeat the text.
        ("question-answering", {"question": "What is my doctor called?", "context": f"My doctor is called {NAME}."}),
        ("zero-shot-classification", {"inputs": SECRET, "candidate_labels": "health, money"}),
    ]
    events: list[dict[str, Any]] = []
    ended = ("task-succeeded", "task-failed")
    listening, done = threading.Event(), threading.Event()

    def on_event(event: dict[str, Any]) -> None:
        events.append(event)
        # A worker's heartbeat shows that the subscription holds: what is published before it is lost.
        listening.set()
        if sum(event["type"] in ended for event in events) == len(requests):
            done.set()
            receiver.should_stop = True

    connection = stock.connection()
    receiver = stock.events.Receiver(connection, handlers={"*": on_event})
    listener = threading.Thread(target=receiver.capture, kwargs={"limit": None, "wakeup": False}, daemon=True)
    listener.start()
    assert listening.wait(PATIENCE_S)

    sent = [stock.send_task(task, kwargs=arguments) for task, arguments in requests]
    inspect = stock.control.inspect(timeout=PATIENCE_S, limit=1)
    shown = json.dumps([inspect.active(), inspect.reserved()])
    for result in sent:
        result.get(timeout=PATIENCE_S, propagate=False)
    assert done.wait(PATIENCE_S)
    listener.join(20)
    connection.release()

    assert {event["type"] for event in events} >= {"task-received", "task-started", *ended}
    for text in (json.dumps(events), worker.log, shown):
        assert SECRET not in text
        assert NAME not in text
