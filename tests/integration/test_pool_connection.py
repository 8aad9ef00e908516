"""Connections are lost at the worst moments. Every request gets its result, and new ones are answered soon."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from examples.local_stack.procfs import process_state
from tests.worker.pool.pool_stack import PoolStack

#: More than fits into the pipe to a process.
LARGE = "x" * 2_000_000
#: Number of requests in a full batch.
FULL = 64
LOST = "Connection to broker lost"
#: When the connection is lost, Celery kills the process that runs the first; requests of the second survive.
NAMES = pytest.mark.parametrize("name", ["probe", "surviving"])


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoolStack]:
    """A worker with one process in our pool. Unacknowledged messages are delivered again after a second."""
    config = {
        "broker_transport_options": {
            "visibility_timeout": 1,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 1,
        }
    }
    with PoolStack(tmp_path_factory.mktemp("pool"), config=config) as started:
        yield started


def ports_of(pid: int) -> set[str]:
    """The local ports of a process's connections."""
    links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    sockets = {str(link).removeprefix("socket:[").rstrip("]") for link in links}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return {str(int(fields[1].partition(":")[2], 16)) for fields in lines if fields[9] in sockets}


def cut_connections(stack: PoolStack) -> None:
    """Let the server close all connections of the worker and its processes; wait until the worker has noticed."""
    before = stack.worker.log.count(LOST)
    ports = ports_of(stack.worker.pid).union(*map(ports_of, stack.pids()))
    with redis.Redis.from_url(stack.server.url) as connected:
        for client in connected.client_list():
            if client["addr"].rpartition(":")[2] in ports:
                connected.client_kill_filter(_id=client["id"])
    stack.worker.wait_for(lambda: stack.worker.log.count(LOST) > before)


def check_serves(stack: PoolStack) -> None:
    """Check that new requests are answered in batches by as many processes as before, and that no message is left."""
    assert stack.get(stack.send(value="new"))["value"] == "new"
    together = stack.gathered([{"value": index} for index in range(8)])
    assert [stack.get(result)["value"] for result in together] == list(range(8))
    stack.worker.wait_for(lambda: stack.unacknowledged() == 0)
    assert len(stack.pids()) == 1


@NAMES
def test_while_requests_wait_and_one_runs(stack: PoolStack, name: str) -> None:
    with stack.held(name) as running:
        waiting = [stack.send(name, value=index) for index in range(20)]
        stack.wait_until_received(waiting)
        cut_connections(stack)

    assert stack.get(running)["size"] >= 1
    assert [stack.get(result)["value"] for result in waiting] == list(range(20))
    check_serves(stack)


@NAMES
def test_while_a_batch_runs(stack: PoolStack, name: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    together = stack.gathered([{"name": name, "do": "hang", "value": str(gate)}, {"name": name, "value": 1}])
    stack.worker.wait_for(Path(f"{gate}.held").exists)
    pids = stack.pids()

    cut_connections(stack)
    gate.touch()

    assert all(stack.get(result)["size"] >= 1 for result in together)
    check_serves(stack)
    assert (stack.pids() == pids) == (name == "surviving")


@NAMES
def test_while_a_batch_is_written(stack: PoolStack, name: str) -> None:
    (pid,) = stack.pids()
    os.kill(pid, signal.SIGSTOP)
    try:
        stack.worker.wait_for(lambda: process_state(pid) == "T")
        sent = [stack.send(name, value=LARGE) for _ in range(3)]
        stack.wait_until_received(sent)
        # The event loop has turned since then, and has written as much as the pipe holds.
        stack.inspect("ping")
        cut_connections(stack)
    finally:
        os.kill(pid, signal.SIGCONT)

    for result in sent:
        assert stack.get(result)["value"] == LARGE
    check_serves(stack)


@pytest.mark.parametrize("size_bytes", [1, 10_000])
def test_while_a_batch_is_ahead_of_a_running_one(stack: PoolStack, size_bytes: int) -> None:
    # Two batches wait. The next one is written to the process ahead of time if it fits into its pipe.
    with stack.held("surviving") as running:
        waiting = [stack.send(value=f"{index}".ljust(size_bytes)) for index in range(2 * FULL)]
        stack.wait_until_received(waiting)
        cut_connections(stack)
        # The parent is not blocked, and has its new connection.
        stack.worker.wait_for(lambda: bool(stack.client.control.ping(timeout=5, limit=1)))

    assert stack.get(running)["size"] == 1
    assert [stack.get(result)["value"].strip() for result in waiting] == [str(index) for index in range(2 * FULL)]
    check_serves(stack)


def test_while_a_large_result_of_a_batch_is_read(stack: PoolStack) -> None:
    requests = [{"value": f"{index}" + "y" * 5000} for index in range(64)]
    for _ in range(3):
        with stack.held():
            sent = [stack.send(**request) for request in requests]
            stack.wait_until_received(sent)
        cut_connections(stack)
        for result, request in zip(sent, requests, strict=True):
            assert stack.get(result)["value"] == request["value"]
    check_serves(stack)


def test_while_a_process_loads(stack: PoolStack) -> None:
    (pid,) = stack.pids()
    starts = len(stack.notes("starts"))
    stack.loading_path.touch()
    try:
        os.kill(pid, signal.SIGKILL)
        stack.worker.wait_for(lambda: len(stack.notes("starts")) > starts)
        sent = [stack.send(value=index) for index in range(5)]
        stack.wait_until_received(sent)
        cut_connections(stack)
    finally:
        stack.loading_path.unlink()

    assert [stack.get(result)["value"] for result in sent] == list(range(5))
    check_serves(stack)


def test_again_and_again_under_load(stack: PoolStack) -> None:
    sent = []
    for _ in range(4):
        sent += [stack.send(value=index) for index in range(50)]
        stack.wait_until_received(sent[-1:])
        cut_connections(stack)

    assert [stack.get(result)["value"] for result in sent] == list(range(50)) * 4
    check_serves(stack)
