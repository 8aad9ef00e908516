"""A process that leaks memory is replaced between two batches, and no request notices."""

from __future__ import annotations

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from examples.local_stack.load import Load
from tests.leaky_app import LEAK_BYTES

LIMIT_MIB = 400
PROCESSES = 2


def test_requests_are_answered_while_leaking_processes_are_replaced(
    own_environment: dict[str, str], own_server: LocalServer
) -> None:
    environment = {
        **own_environment,
        "CELERIAC_PROCESSES_MAX_MEMORY_MIB": str(LIMIT_MIB),
        "CELERIAC_CORES_ALLOW_SHARING": "true",
    }
    with LocalWorker([f"--concurrency={PROCESSES}"], environment, application="tests.leaky_app") as worker:
        worker.wait_until_ready()
        old = worker.processes
        with Load(own_server.url, "sentiment", in_flight=2, timeout_s=PATIENCE_S) as load:
            worker.wait_for(
                lambda: (
                    len(old.keys() & worker.processes.keys()) == len(old)
                    and not set(old.values()) & set(worker.processes.values())
                )
            )
            load.wait_for_answers(3)

        assert len(load.answers) == load.sent > LIMIT_MIB * 1024 * 1024 // LEAK_BYTES // PROCESSES
        assert {answer.error for answer in load.answers} == {""}
        assert worker.log.count("it has grown to") >= PROCESSES
        assert "exited with" not in worker.log
