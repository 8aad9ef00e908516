"""A newly prepared model is taken while its worker serves, without a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer
from examples.local_stack.load import Load, LoadAnswer
from examples.local_stack.model_revisions import ModelRevisions
from producer import Client
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
