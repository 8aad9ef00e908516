"""What a real worker tells Prometheus, a kubelet and a cluster autoscaler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from celery import Celery
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from producer import Client, UnknownModel
from producer.contract import QueueClass, TextClassificationRequest
from tests.conftest import plain_celery
from tests.monitored_worker import MonitoredWorker
from worker.observability.metrics.families import FAMILIES, PREFIX

TASK = "text-classification"
TEXT = TextClassificationRequest.parse({"inputs": "It does the job, and nobody has complained about it so far."})


@pytest.fixture(scope="module")
def broker() -> Iterator[LocalServer]:
    with LocalServer() as started:
        yield started


@pytest.fixture(scope="module")
def environment(broker: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        "CELERIAC_BROKER_URL": broker.url,
        "CELERIAC_MODELS": "sentiment",
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path_factory.mktemp("leases")),
        "CELERIAC_CORES_ALLOW_SHARING": "true",
    }


@pytest.fixture(scope="module")
def answers_while_starting() -> list[tuple[int, Any]]:
    """What ``/readyz`` said until the worker was ready, without repetitions."""
    return []


@pytest.fixture(scope="module")
def watched(environment: dict[str, str], answers_while_starting: list[tuple[int, Any]]) -> Iterator[MonitoredWorker]:
    with MonitoredWorker(["-n", "watched@here", "--concurrency=1"], environment) as worker:

        def is_ready() -> bool:
            with suppress(urllib.error.URLError):
                answers_while_starting.append(worker.json("/readyz"))
            return bool(answers_while_starting) and answers_while_starting[-1][0] == 200

        worker.wait_for(is_ready)
        yield worker


@pytest.fixture
def client(broker: LocalServer) -> Iterator[Client]:
    with Client(broker.url, timeout_s=PATIENCE_S) as connected:
        yield connected


@pytest.fixture
def stock(broker: LocalServer) -> Iterator[Celery]:
    yield from plain_celery(broker)


def test_it_is_not_ready_before_its_processes_are(
    watched: MonitoredWorker, answers_while_starting: list[tuple[int, Any]]
) -> None:
    early = [value["reasons"] for status, value in answers_while_starting if status == 503]

    assert any("no process has loaded its models" in reasons for reasons in early)
    assert watched.json("/readyz") == (200, {"ready": True, "reasons": []})
    assert watched.json("/healthz") == (200, {"alive": True, "reasons": []})


def test_requests_are_counted_by_task_model_class_and_outcome(
    watched: MonitoredWorker, client: Client, stock: Celery
) -> None:
    def ended(**labels: str) -> float:
        return watched.value("requests_total", task=TASK, **labels)

    before = {name: ended(queue_class=name, outcome="succeeded", model="sentiment") for name in QueueClass}
    sent = [client.submit(TEXT) for _ in range(50)]
    sent += [client.submit(TEXT, queue_class=QueueClass.BULK) for _ in range(20)]
    for request_id in sent:
        client.wait(request_id)
    for result in [stock.send_task(TASK, kwargs={"inputs": "Plain Celery."}) for _ in range(3)]:
        result.get(timeout=PATIENCE_S)

    watched.wait_for(
        lambda: (
            ended(queue_class="interactive", outcome="succeeded", model="sentiment") - before[QueueClass.INTERACTIVE]
            == 53
        )
    )
    assert ended(queue_class="bulk", outcome="succeeded", model="sentiment") - before[QueueClass.BULK] == 20
    # Plain Celery does not say when it has sent a message.
    for name in ("wait_seconds_count", "request_seconds_count"):
        assert watched.value(name, since="sent", queue_class="bulk") == 20
        assert watched.value(name, since="received") == 3
    assert watched.value("batch_requests_sum") == watched.value("requests_total", outcome="succeeded")
    assert watched.value("tokens_total", model="sentiment") > 70 * 10
    assert watched.value("inference_seconds_sum") < watched.value("batch_seconds_sum")


def test_errors_are_counted_by_code_and_names_that_senders_make_up_are_no_labels(
    watched: MonitoredWorker, client: Client, stock: Celery
) -> None:
    with pytest.raises(UnknownModel):
        client.classify("A text.", model="made-up")
    for kwargs in ({"inputs": ""}, {"inputs": "a", "unknown": 1}):
        stock.send_task(TASK, kwargs=kwargs).get(timeout=PATIENCE_S, propagate=False)
    stock.send_task("made-up", queue=TASK).get(timeout=PATIENCE_S, propagate=False)

    def errors() -> dict[tuple[str, str], float]:
        found = [sample for sample in watched.samples() if sample.name == "celeriac_errors_total"]
        return {(sample.labels["task"], sample.labels["code"]): sample.value for sample in found}

    wanted = {
        (TASK, "unknown_model"): 1,
        (TASK, "empty"): 1,
        (TASK, "unknown_parameter"): 1,
        ("other", "unknown_task"): 1,
    }
    watched.wait_for(lambda: errors() == wanted)
    assert watched.value("requests_total", outcome="failed") == 4
    assert "made-up" not in watched.get("/metrics")[1]


def test_while_requests_wait_scale_agrees_with_the_queue_and_sums_what_both_workers_hold(
    watched: MonitoredWorker, client: Client, stock: Celery, broker: LocalServer, environment: dict[str, str]
) -> None:
    with MonitoredWorker(["-n", "other@here", "--concurrency=1"], environment) as other:
        other.wait_until_ready()
        with watched.frozen(), other.frozen(), redis.Redis.from_url(broker.url) as connected:
            sent = [client.submit(TEXT, queue_class=QueueClass.BULK) for _ in range(700)]
            late = stock.send_task(TASK, kwargs={"inputs": "Too late."}, queue=f"{TASK}.bulk", expires=0.1)

            def is_consistent() -> bool:
                status, scale = watched.json("/scale")
                waiting = connected.llen(f"{TASK}.bulk")
                held_s = [worker.value("held_seconds") for worker in (watched, other)]
                return (
                    status == 200
                    and waiting > 0
                    and scale["queues"][f"{TASK}.bulk"]["waiting"] == waiting
                    and waiting + watched.value("held_requests") + other.value("held_requests") == len(sent) + 1
                    and all(held_s)
                    and scale["held_s"] == pytest.approx(sum(held_s), abs=0.01)
                )

            watched.wait_for(is_consistent)
            scale = watched.json("/scale")[1]
            assert (scale["workers"], scale["processes_per_worker"]) == (2, 1)
            assert scale["backlog_s"] > scale["held_s"]
            assert scale["workers_wanted"] == scale["processes_wanted"] >= 1
            assert scale["queues"][f"{TASK}.bulk"]["oldest_s"] > 0
            assert scale["queues"][TASK] == {"waiting": 0, "oldest_s": None}
            assert watched.value("queue_oldest_seconds", queue=f"{TASK}.bulk") > 0
            assert watched.value("unacknowledged_messages") == len(sent) + 1 - connected.llen(f"{TASK}.bulk")
        for request_id in sent:
            client.wait(request_id)
        late.get(timeout=PATIENCE_S, propagate=False)
        watched.wait_for(lambda: sum(one.value("requests_total", outcome="expired") for one in (watched, other)) == 1)

    watched.wait_for(lambda: watched.value("held_requests") == 0)


def test_a_killed_process_is_counted_as_a_restart_and_its_memory_is_that_of_the_next(watched: MonitoredWorker) -> None:
    (pid,) = watched.processes.values()
    assert watched.value("process_rss_bytes", process="0") > watched.value("process_anonymous_bytes", process="0") > 1e7
    before = watched.value("process_restarts_total", reason="died")

    os.kill(pid, signal.SIGKILL)

    watched.wait_for(lambda: watched.value("process_restarts_total", reason="died") == before + 1)
    watched.wait_for(watched.is_ready)
    assert watched.value("process_rss_bytes", process="0") > 0


def test_every_metric_is_there_in_both_formats(watched: MonitoredWorker) -> None:
    text = watched.get("/metrics", "application/openmetrics-text; version=1.0.0")[1]
    found = {family.name for family in parse_open_metrics(text)}  # type: ignore[no-untyped-call]  # it has no types
    names = {PREFIX + name for name in FAMILIES}

    # What waits has an age only while something waits; nothing has to be moved between workers here.
    assert names - found == {f"{PREFIX}queue_oldest_seconds", f"{PREFIX}moved_messages"}
    assert {sample.name for sample in watched.samples() if sample.name.startswith(PREFIX)}


def test_a_port_that_is_taken_keeps_a_worker_from_starting(
    watched: MonitoredWorker, environment: dict[str, str]
) -> None:
    with LocalWorker(["-n", "late@here"], {**environment, "CELERIAC_METRICS_PORT": str(watched.port)}) as worker:
        assert worker.wait_for_exit() == 78

        assert f"cannot listen on 127.0.0.1:{watched.port}" in worker.log
        assert "CELERIAC_METRICS_PORT" in worker.log


def test_without_a_port_there_is_nothing_of_it() -> None:
    code = "import sys; from worker import app; print(*app.steps['worker'], 'prometheus_client' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
