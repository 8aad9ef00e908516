"""A request for which a process has not enough memory fails alone, wherever the memory runs out."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from producer import Client
from tests.worker.pool.pool_app import ROOM
from tests.worker.pool.pool_stack import PoolStack

_MIB = 1024 * 1024
SIZE, GUILTY = 8, 3


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoolStack]:
    """A worker with one process, which may take 24 MiB more than it has when it is ready."""
    with PoolStack(tmp_path_factory.mktemp("pool"), config={ROOM: 24 * _MIB}) as started:
        yield started


@pytest.mark.parametrize(
    ("guilty", "error"),
    [
        pytest.param({"do": "allocate", "value": 64 * _MIB}, "MemoryError", id="computing"),
        pytest.param({"do": "enlarge", "value": 9 * _MIB}, "EncodeError", id="storing"),
        pytest.param({"kwargs": {"large": "x" * (32 * _MIB)}}, "ModelFailed", id="unpickling"),
    ],
)
def test_a_request_without_memory_fails_alone(stack: PoolStack, guilty: Any, error: str) -> None:
    requests: list[dict[str, Any]] = [{"value": index} for index in range(SIZE)]
    requests[GUILTY] = guilty

    sent = stack.gathered(requests)

    found = [stack.get(result)["value"] for index, result in enumerate(sent) if index != GUILTY]
    assert found == [index for index in range(SIZE) if index != GUILTY]
    assert stack.failure(sent[GUILTY])[0] == error
    stack.worker.wait_for(lambda: stack.unacknowledged() == 0)
    assert stack.get(stack.send(value="after"))["value"] == "after"


def test_answers_of_a_model_that_gets_no_memory_are_not_those_to_other_requests(
    own_environment: dict[str, str], own_server: LocalServer
) -> None:
    large = [" ".join(["awful"] * 400)] * 16
    with (
        LocalWorker(["--concurrency=1"], own_environment) as worker,
        Client(own_server.url, timeout_s=PATIENCE_S) as client,
    ):
        worker.wait_until_ready()
        old = worker.processes
        good = client.classify("A delight, truly.")
        bad = client.classify("A bore, truly.")
        assert good[0]["label"] != bad[0]["label"]
        pages = int(Path(f"/proc/{old[0]}/statm").read_text(encoding="ascii").split()[0])
        limit_bytes = pages * os.sysconf("SC_PAGE_SIZE")
        resource.prlimit(old[0], resource.RLIMIT_AS, (limit_bytes, limit_bytes))

        assert client.classify("A delight, truly.") == good
        answers: Any = client.classify(large)
        assert [scores[0]["label"] for scores in answers] == [bad[0]["label"]] * len(large)
        assert client.classify("A bore, truly.") == bad
        assert worker.processes != old
