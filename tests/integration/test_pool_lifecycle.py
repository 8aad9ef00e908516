"""Operators add and remove processes, and a worker that stops loses no request."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from examples.local_stack import PATIENCE_S, LocalServer
from tests.worker.pool.pool_stack import OURS, STOCK, PoolStack


def test_processes_are_added_and_taken_away(tmp_path: Path) -> None:
    with PoolStack(tmp_path) as stack:
        control = stack.client.control
        control.pool_grow(2, reply=True, timeout=PATIENCE_S, limit=1)
        stack.worker.wait_for(lambda: stack.stats()["pool"]["writes"]["inqueues"]["total"] == 3)
        gates = [str(tmp_path / f"grown-{index}") for index in range(3)]
        running = [stack.send(do="hang", value=gate) for gate in gates]
        stack.worker.wait_for(lambda: all(Path(f"{gate}.held").exists() for gate in gates))

        for gate in gates:
            Path(gate).touch()
        assert len({stack.get(result)["pid"] for result in running}) == 3
        control.pool_shrink(2, reply=True, timeout=PATIENCE_S, limit=1)
        stack.worker.wait_for(lambda: stack.stats()["pool"]["writes"]["inqueues"]["total"] == 1)
        assert [stack.get(stack.send(value=index))["value"] for index in range(5)] == list(range(5))


@pytest.mark.parametrize("argument", ["--max-tasks-per-child=2", "--max-memory-per-child=1"])
def test_a_process_is_replaced_after_so_many_batches(tmp_path: Path, argument: str) -> None:
    per_process = 2 if "tasks" in argument else 1
    with PoolStack(tmp_path, arguments=["--concurrency=1", argument]) as stack:
        pids = []
        for _ in range(2):
            # The held request is one batch, and those that wait behind it are another.
            together = stack.gathered([{"value": index} for index in range(20)])
            found = [stack.get(result) for result in together]
            assert {answer["size"] for answer in found} == {20}
            pids += [answer["pid"] for answer in found[:1]]
        assert pids[0] != pids[1]
        held, batch, *_ = stack.notes("computed")
        assert (len(held), len(batch)) == (1, 20)
        assert len(stack.notes("starts")) >= (2 if per_process == 2 else 4)
        stack.worker.wait_for(lambda: stack.unacknowledged() == 0)


@pytest.mark.parametrize("pool", [OURS, STOCK], ids=["ours", "stock"])
def test_a_warm_shutdown_ends_what_runs_and_gives_back_what_waits(
    tmp_path: Path, own_server: LocalServer, pool: str
) -> None:
    with PoolStack(tmp_path, pool, server=own_server) as stack:
        with stack.held() as running:
            waiting = [stack.send(value=index) for index in range(100)]
            later = stack.send(value="later", countdown=0.5)
            stack.wait_until_received([*waiting, later])
            stack.worker.signal(signal.SIGTERM)
            stack.worker.wait_for(lambda: "Warm shutdown" in stack.worker.log)
        # Celery's own pool may miss a process's last result; it waits 30 s for it and returns the message to the queue.
        assert stack.worker.wait_for_exit() == 0
        assert stack.get(running)["size"] == 1
        unanswered = [result for result in waiting if stack.client.AsyncResult(result.id).state == "PENDING"]
        assert unanswered

        stack.restart()

        assert [stack.get(result)["value"] for result in waiting] == list(range(100))
        assert stack.get(later)["value"] == "later"
        repeated = sum(stack.computations(result) - 1 for result in waiting)
        assert 0 <= repeated <= (0 if stack.is_ours else 1)
        stack.worker.wait_for(lambda: stack.unacknowledged() == 0)


@pytest.mark.parametrize(("pool", "soft_s"), [(OURS, 1), (STOCK, 0)])
def test_a_cold_shutdown_gives_back_what_runs_too(
    tmp_path: Path, own_server: LocalServer, pool: str, soft_s: int
) -> None:
    config = {"worker_soft_shutdown_timeout": soft_s}
    with PoolStack(tmp_path, pool, server=own_server, config=config) as stack:
        gate = tmp_path / "gate"
        running = stack.send(do="hang", value=str(gate))
        stack.worker.wait_for(Path(f"{gate}.held").exists)
        waiting = [stack.send(value=index) for index in range(20)]
        stack.wait_until_received(waiting)
        stack.worker.signal(signal.SIGQUIT)
        stack.worker.wait_for_exit()
        assert stack.client.AsyncResult(running.id).state == "PENDING"

        gate.touch()
        stack.restart()

        assert stack.get(running)["value"] == str(gate)
        assert [stack.get(result)["value"] for result in waiting] == list(range(20))
        assert stack.computations(running) == 2
        stack.worker.wait_for(lambda: stack.unacknowledged() == 0)


def test_a_cold_shutdown_does_not_wait_for_a_request_that_outlives_lost_connections(
    tmp_path: Path, own_server: LocalServer
) -> None:
    with PoolStack(tmp_path, server=own_server) as stack:
        gate = tmp_path / "gate"
        running = stack.send("surviving", do="hang", value=str(gate))
        stack.worker.wait_for(Path(f"{gate}.held").exists)

        stack.worker.signal(signal.SIGQUIT)

        stack.worker.wait_for_exit()
        gate.touch()
        stack.restart()
        assert stack.get(running)["value"] == str(gate)


def test_a_worker_that_stops_while_its_processes_load_does_not_wait_for_them(
    tmp_path: Path, own_server: LocalServer
) -> None:
    with PoolStack(tmp_path, server=own_server) as stack:
        stack.worker.stop()
        starts = len(stack.notes("starts"))
        stack.loading_path.touch()
        stack.worker.start()
        stack.worker.wait_for(lambda: len(stack.notes("starts")) > starts and stack.worker.log.count(" ready.") == 2)

        stack.worker.signal(signal.SIGTERM)

        # The file is still there.
        assert stack.worker.wait_for_exit() == 0
        assert "ERROR" not in stack.worker.log
