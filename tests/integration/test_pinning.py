"""Where the threads of a worker run, by the kernel's account."""

from __future__ import annotations

import os

import pytest

from examples.local_stack import LocalWorker
from examples.local_stack.procfs import open_libraries, thread_cores
from producer import Client

needs_two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")


@needs_two_cores
def test_every_thread_of_each_inference_process_runs_on_its_own_core_only(worker: LocalWorker, client: Client) -> None:
    client.classify(["a text", "a longer text than the first"] * 32)

    seen = {index: set(thread_cores(pid).values()) for index, pid in worker.processes.items()}

    assert len(seen) == len(os.sched_getaffinity(0))
    assert all(len(cores) == 1 for cores in seen.values()), seen
    assert len(set.union(*seen.values())) == len(seen), seen


def test_the_parent_has_no_openvino_mapped_and_the_inference_processes_have(worker: LocalWorker) -> None:
    assert open_libraries(worker.pid, "openvino") == []
    for pid in worker.processes.values():
        assert open_libraries(pid, "openvino")


def test_no_process_of_a_worker_has_torch_mapped(worker: LocalWorker) -> None:
    for pid in (worker.pid, *worker.processes.values()):
        assert open_libraries(pid, "torch") == []
