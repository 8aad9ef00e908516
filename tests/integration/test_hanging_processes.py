"""A process that hangs is killed wherever it hangs, and what it held is answered by another."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from examples.local_stack import LocalServer
from tests.worker.pool.pool_stack import PoolStack

SIZE, GUILTY = 8, 3


@pytest.mark.parametrize("do", ["deadlock", "deadlock_with_gil", "signal"])
def test_one_that_hangs_in_native_code_ends_by_its_time_limit_alone(tmp_path: Path, do: str) -> None:
    with PoolStack(tmp_path) as stack:
        requests: list[dict[str, Any]] = [
            {"value": index, "soft_time_limit": 60, "time_limit": 90} for index in range(SIZE)
        ]
        requests[GUILTY] = {"do": do, "value": signal.SIGSTOP, "soft_time_limit": 0.5, "time_limit": 1}

        sent = stack.gathered(requests)

        found = [stack.get(result)["value"] for index, result in enumerate(sent) if index != GUILTY]
        assert found == [index for index in range(SIZE) if index != GUILTY]
        assert stack.failure(sent[GUILTY])[0] == "TimeLimitExceeded"
        assert stack.computations(sent[GUILTY]) == 1
        stack.worker.wait_for(lambda: stack.unacknowledged() == 0)


def test_an_idle_process_that_hangs_loses_no_request(tmp_path: Path) -> None:
    with PoolStack(tmp_path) as stack:
        (hung,) = stack.pids()
        os.kill(hung, signal.SIGSTOP)

        found = [stack.get(result) for result in [stack.send(value=index) for index in range(SIZE)]]

        assert [answer["value"] for answer in found] == list(range(SIZE))
        assert {answer["pid"] for answer in found} == stack.pids()
        assert hung not in stack.pids()
        assert f"killing process {hung}, which hangs" in stack.worker.log


@pytest.mark.parametrize("sends", [False, True], ids=["idle", "with a request"])
def test_a_process_that_hangs_does_not_keep_its_worker_from_ending(
    tmp_path: Path, own_server: LocalServer, sends: bool
) -> None:
    with PoolStack(tmp_path, server=own_server) as stack:
        (hung,) = stack.pids()
        os.kill(hung, signal.SIGSTOP)
        sent = [stack.send(value="waits")] if sends else []
        stack.wait_until_received(sent)

        stack.worker.signal(signal.SIGTERM)

        assert stack.worker.wait_for_exit() == 0
        assert f"killing process {hung}, which hangs" in stack.worker.log
        if sends:
            stack.restart()
            assert [stack.get(result)["value"] for result in sent] == ["waits"]
