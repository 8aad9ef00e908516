"""A newly prepared model is taken while its worker serves, without a restart."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from examples.local_stack.load import Load, LoadAnswer
from examples.local_stack.model_revisions import ModelRevisions
from models.store import CONFIG_NAME, TOKENIZER_NAME
from models.store.in_use import is_in_use
from producer import Client
from tests.integration.sentry_sink import SentrySink
from tests.monitored_worker import MonitoredWorker

NAME = "reloaded@here"


@pytest.fixture
def revisions(tmp_path: Path) -> ModelRevisions:
    return ModelRevisions(tmp_path / "models")


@pytest.fixture
def environment(own_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Settings of a worker that serves the model, and no other."""
    return {
        **own_environment,
        "CELERIAC_MODELS": "mine",
        "CELERIAC_MODEL_DIR": str(tmp_path / "models"),
        "CELERIAC_COMPILED_DIR": str(tmp_path / "compiled"),
    }


@pytest.fixture
def reload(own_stock: Celery) -> Callable[..., dict[str, str]]:
    """Has the worker take what was prepared, and returns its reply when it is done."""

    def reload(*, wait: bool = True) -> dict[str, str]:
        (reply,) = own_stock.control.broadcast(
            "reload_models", {"wait": wait}, destination=[NAME], reply=True, timeout=PATIENCE_S, limit=1
        )
        answer: dict[str, str] = reply[NAME]
        return answer

    return reload


@pytest.fixture
def client(own_server: LocalServer) -> Iterator[Client]:
    with Client(own_server.url, timeout_s=PATIENCE_S) as connected:
        yield connected


def pool_of(app: Celery) -> dict[str, Any]:
    """What ``inspect stats`` shows of the worker's pool."""
    pool: dict[str, Any] = app.control.inspect([NAME], timeout=PATIENCE_S, limit=1).stats()[NAME]["pool"]
    return pool


def label_of(client: Client, model: str = "mine") -> str:
    """Which revision answers, by its label."""
    return client.classify("A delight.", model=model)[0]["label"]


def test_every_request_is_answered_by_one_of_the_revisions_while_they_are_exchanged(
    environment: dict[str, str],
    own_server: LocalServer,
    own_stock: Celery,
    revisions: ModelRevisions,
    reload: Callable[..., dict[str, str]],
) -> None:
    first = revisions.prepare("A")
    with MonitoredWorker(["-n", NAME, "--concurrency=2"], environment) as worker:
        worker.wait_until_ready()
        assert f"with mine {first} (int8)" in worker.log
        before = worker.processes
        prepared = {"A:POSITIVE": first}
        with Load(own_server.url, "mine", in_flight=16, timeout_s=PATIENCE_S) as load:
            load.wait_for_answers(20)
            for mark in "BA":
                revision = revisions.prepare(mark)
                prepared[f"{mark}:POSITIVE"] = revision
                reply = reload()
                assert reply.keys() == {"ok"}
                assert f"-> {revision} in 2 processes" in reply["ok"]
                load.wait_for_answers(20)
        assert len(load.answers) == load.sent
        assert {(one.label, one.revision) for one in load.answers} == set(prepared.items())
        assert LoadAnswer(f"{mark}:POSITIVE", revision) == load.answers[-1]

        after = worker.processes
        assert after.keys() == before.keys()
        assert not set(after.values()) & set(before.values())
        assert pool_of(own_stock)["revisions"] == {str(pid): {"mine": first} for pid in after.values()}
        (info,) = [line for line in worker.get("/metrics")[1].splitlines() if line.startswith("celeriac_worker_info{")]
        assert f'revisions="mine={first}"' in info
        assert worker.value("process_restarts_total") == 0
        assert reload() == {"ok": f"nothing new: mine {first}"}


def test_a_revision_that_is_spoiled_is_refused_and_the_old_one_serves_on_whatever_happens(
    environment: dict[str, str],
    client: Client,
    own_stock: Celery,
    revisions: ModelRevisions,
    reload: Callable[..., dict[str, str]],
) -> None:
    first = revisions.prepare("A")
    with (
        SentrySink() as sink,
        LocalWorker(["-n", NAME, "--concurrency=1"], {**environment, "CELERIAC_SENTRY_DSN": sink.dsn}) as worker,
    ):
        worker.wait_until_ready()
        revision = revisions.prepare("B")
        with (revisions.directory / CONFIG_NAME).open("a", encoding="utf-8") as file:
            file.write(" ")

        reply = reload()

        refused = f"did not take mine {first} -> {revision}: CorruptModelError: {revisions.directory / CONFIG_NAME}"
        assert reply["error"].startswith(refused)
        assert refused in worker.log
        worker.wait_for(lambda: any(refused in event["logentry"]["formatted"] for event in sink.events))
        assert label_of(client) == "A:POSITIVE"

        # The process that takes the place of one that dies loads what the worker serves, not what lies there.
        (old,) = worker.processes.values()
        os.kill(old, signal.SIGKILL)
        worker.wait_for(lambda: len(worker.processes) == 1 and old not in worker.processes.values())
        assert label_of(client) == "A:POSITIVE"
        pool = pool_of(own_stock)
        assert pool["revisions"] == {str(worker.processes[0]): {"mine": first}}
        assert pool["model-exchange"] == {"phase": "idle", "last": "refused", "message": reply["error"]}

        third = revisions.prepare("C")
        assert reload().keys() == {"ok"}
        assert label_of(client) == "C:POSITIVE"
        assert pool_of(own_stock)["revisions"] == {str(worker.processes[0]): {"mine": third}}


def test_processes_that_are_killed_and_lost_connections_do_not_stop_an_exchange(
    environment: dict[str, str],
    own_server: LocalServer,
    own_redis: redis.Redis,
    revisions: ModelRevisions,
    reload: Callable[..., dict[str, str]],
) -> None:
    first = revisions.prepare("A")
    with LocalWorker(["-n", NAME, "--concurrency=2"], environment) as worker:
        worker.wait_until_ready()
        with Load(own_server.url, "mine", in_flight=8, timeout_s=PATIENCE_S) as load:
            load.wait_for_answers(10)
            second = revisions.prepare("B")
            assert reload(wait=False) == {"ok": f"checking mine {first} -> {second}"}
            own_redis.client_kill_filter(_type="normal", skipme=True)
            worker.wait_for(lambda: "one process after another" in worker.log)
            for pid in worker.processes.values():
                os.kill(pid, signal.SIGKILL)
            worker.wait_for(lambda: f"took mine {first} -> {second} in 2 processes" in worker.log)
            load.wait_for_answers(10)
        assert len(load.answers) == load.sent
        assert {(one.label, one.revision) for one in load.answers} <= {("A:POSITIVE", first), ("B:POSITIVE", second)}
        assert load.answers[-1].revision == second
        for index, pid in worker.processes.items():
            (ready,) = [line for line in worker.log.splitlines() if f"process {index} (pid {pid}) is ready" in line]
            assert f"with mine {second} (int8)" in ready


def test_of_two_models_one_changes_by_a_command_in_the_shell(
    environment: dict[str, str], client: Client, own_stock: Celery, revisions: ModelRevisions, tmp_path: Path
) -> None:
    first = revisions.prepare("A")
    other = ModelRevisions(tmp_path / "models", "other").prepare("O")
    environment |= {"CELERIAC_MODELS": "other,mine"}
    with LocalWorker(["-n", NAME, "--concurrency=1"], environment) as worker:
        worker.wait_until_ready()
        second = revisions.prepare("B")

        shell = [sys.executable, "-m", "celery", "-A", "worker", "control"]
        arguments = ["-d", NAME, "-t", f"{PATIENCE_S:g}", "reload_models", "true"]
        done = subprocess.run(
            [*shell, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, check=True
        )
        assert f"OK took mine {first} -> {second} in 1 process after" in " ".join(done.stdout.split())

        assert (label_of(client, "mine"), label_of(client, "other")) == ("B:POSITIVE", "O:POSITIVE")
        assert pool_of(own_stock)["revisions"] == {str(worker.processes[0]): {"other": other, "mine": second}}
        assert is_in_use(tmp_path / "models" / "other")
        assert is_in_use(revisions.directory)
        listed = subprocess.run(
            [*shell, "--list"], env={**os.environ, **environment}, capture_output=True, text=True, check=True
        )
        assert "reload_models [wait=false] Check newly prepared models, and load them" in " ".join(
            listed.stdout.split()
        )


def test_a_worker_that_watches_its_models_takes_what_is_prepared(
    environment: dict[str, str], client: Client, revisions: ModelRevisions
) -> None:
    first = revisions.prepare("A")
    environment |= {"CELERIAC_RELOAD_EVERY_S": "0.2"}
    with LocalWorker(["-n", NAME, "--concurrency=1"], environment) as worker:
        worker.wait_until_ready()
        second = revisions.prepare(
            "B", lambda directory: shutil.copy(directory / CONFIG_NAME, directory / TOKENIZER_NAME)
        )
        worker.wait_for(lambda: f"did not take mine {first} -> {second}" in worker.log)

        third = revisions.prepare("C")

        worker.wait_for(lambda: f"took mine {first} -> {third} in 1 process" in worker.log)
        assert label_of(client) == "C:POSITIVE"
        assert worker.log.count("did not take") == 1
