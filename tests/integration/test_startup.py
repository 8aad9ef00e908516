"""What a worker does before it serves, and what it says when it cannot."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from models.store import BUNDLED_DIRECTORY
from producer import Client

CORES = sorted(os.sched_getaffinity(0))
EXIT_CANNOT_START = 78
EXIT_SOFTWARE = 70


@pytest.fixture
def environment(own_server: LocalServer, tmp_path: Path) -> dict[str, str]:
    """A server and core leases for one test."""
    return {
        "CELERIAC_BROKER_URL": own_server.url,
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path / "leases"),
        "CELERIAC_MODEL_DIR": str(tmp_path / "models"),
    }


@pytest.fixture
def copied_model(environment: dict[str, str]) -> Path:
    """A copy of the bundled model, which goes before the bundled one."""
    copy = Path(environment["CELERIAC_MODEL_DIR"]) / "sentiment"
    shutil.copytree(BUNDLED_DIRECTORY / "sentiment", copy)
    return copy


@contextmanager
def held(directory: Path, cores: list[int]) -> Iterator[None]:
    """Hold the leases of ``cores`` as another worker would."""
    directory.mkdir(parents=True)
    files = []
    for core in cores:
        file = (directory / f"core-{core}.lease").open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump({"worker": "celery@elsewhere", "pid": 4711}, file)
        file.flush()
        files.append(file)
    yield
    for file in files:
        file.close()


def refused(environment: dict[str, str], *arguments: str) -> str:
    """The log of a worker that must not start."""
    with LocalWorker(arguments, environment) as worker:
        assert worker.wait_for_exit() == EXIT_CANNOT_START, worker.log
        return worker.log


def test_a_changed_model_file_keeps_the_worker_from_starting_and_is_named(
    environment: dict[str, str], copied_model: Path
) -> None:
    weights = copied_model / "openvino_model.bin"
    with weights.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\x00\x01\x02\x03")

    log = refused(environment)

    assert f"{weights} does not match its checksum" in log


def test_a_truncated_model_file_keeps_the_worker_from_starting_and_is_named(
    environment: dict[str, str], copied_model: Path
) -> None:
    os.truncate(copied_model / "openvino_model.xml", 1000)

    assert f"{copied_model / 'openvino_model.xml'} has 1000 bytes" in refused(environment)


def test_a_model_that_is_not_there_is_named_with_the_command_that_gets_one(environment: dict[str, str]) -> None:
    log = refused({**environment, "CELERIAC_MODELS": "sentiment,mine"})

    assert "there is no prepared model 'mine'" in log
    assert "python -m models prepare MODEL --as mine" in log


def test_a_wrong_setting_is_named_by_its_variable(environment: dict[str, str]) -> None:
    with LocalWorker(environment={**environment, "CELERIAC_BATCH_MAX_TOKENS": "many"}) as worker:
        assert worker.wait_for_exit() != 0
        assert "CELERIAC_BATCH_MAX_TOKENS" in worker.log
        assert "Traceback" not in worker.log


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_a_pool_that_cannot_be_pinned_is_refused(environment: dict[str, str], pool: str) -> None:
    assert "cannot be pinned" in refused(environment, "--pool", pool)


def test_one_request_at_a_time_per_process_is_refused(environment: dict[str, str]) -> None:
    assert "worker_disable_prefetch" in refused(environment, "--disable-prefetch")


def test_prefork_is_our_pool(environment: dict[str, str], own_server: LocalServer) -> None:
    with LocalWorker(["--concurrency=1", "--pool=prefork"], environment) as worker:
        worker.wait_until_ready()
        operator = Celery("operator", broker=own_server.url, backend=own_server.url, set_as_current=False)
        (stats,) = operator.control.inspect(timeout=PATIENCE_S, limit=1).stats().values()
        operator.close()

    assert stats["pool"]["implementation"] == "worker.pool.task_pool:TaskPool"


def test_a_worker_whose_processes_cannot_load_gives_up_after_three_and_names_the_cause(
    environment: dict[str, str], copied_model: Path
) -> None:
    # A file that is as its manifest says, and no model all the same.
    graph = copied_model / "openvino_model.xml"
    graph.write_text("<net>this is no model</net>")
    manifest = json.loads((copied_model / "manifest.json").read_text())
    from models.store.manifest import record_files

    manifest["files"]["openvino_model.xml"] = record_files(copied_model, [graph.name])[graph.name].model_dump()
    (copied_model / "manifest.json").write_text(json.dumps(manifest))

    with LocalWorker(["--concurrency=1"], environment) as worker:
        assert worker.wait_for_exit() == EXIT_SOFTWARE, worker.log
        log = worker.log

    assert "could not start (3 in a row)" in log
    assert "could not start (4 in a row)" not in log
    assert "stopping: 3 processes in a row could not start; the last: RuntimeError" in log


def test_with_no_free_core_the_worker_does_not_start_and_names_the_holders(environment: dict[str, str]) -> None:
    with held(Path(environment["CELERIAC_CORES_LEASE_DIR"]), CORES):
        log = refused(environment)

    assert f"core {CORES[0]} is leased by celery@elsewhere (pid 4711)" in log
    assert "CELERIAC_CORES_ALLOW_SHARING" in log


def test_with_no_free_core_and_sharing_allowed_the_worker_starts(environment: dict[str, str]) -> None:
    with (
        held(Path(environment["CELERIAC_CORES_LEASE_DIR"]), CORES),
        LocalWorker(["--concurrency=1"], {**environment, "CELERIAC_CORES_ALLOW_SHARING": "true"}) as worker,
    ):
        worker.wait_until_ready()
        assert f"is ready on core {CORES[0]} (shared)" in worker.log


@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")
def test_two_workers_on_one_host_take_disjoint_cores_and_give_them_back_when_killed(
    environment: dict[str, str], own_server: LocalServer
) -> None:
    with (
        LocalWorker(["--concurrency=1", "--hostname=one@%h"], environment) as first,
        LocalWorker(["--concurrency=1", "--hostname=two@%h"], environment) as second,
    ):
        first.wait_until_ready()
        second.wait_until_ready()
        leased = {log.split("is ready on core ")[1].split()[0] for log in (first.log, second.log)}
        assert len(leased) == 2

        first.signal(signal.SIGKILL)
        first.wait_for_exit()
        with LocalWorker(["--concurrency=1", "--hostname=three@%h"], environment) as third:
            third.wait_until_ready()
            with Client(own_server.url, timeout_s=PATIENCE_S) as client:
                assert client.classify("good")


def test_fewer_free_cores_than_wanted_start_as_many_processes_as_there_are(environment: dict[str, str]) -> None:
    with LocalWorker([f"--concurrency={len(CORES) + 3}"], environment) as worker:
        worker.wait_until_ready()
        assert len(worker.processes) == len(CORES)


def test_a_process_that_is_killed_comes_back_on_its_core(environment: dict[str, str], own_server: LocalServer) -> None:
    with (
        LocalWorker(["--concurrency=1"], environment) as worker,
        Client(own_server.url, timeout_s=PATIENCE_S) as client,
    ):
        worker.wait_until_ready()
        (before,) = worker.processes.values()

        os.kill(before, signal.SIGKILL)
        worker.wait_for(lambda: bool(worker.processes) and worker.processes[0] != before)

        assert client.classify("good")
        assert worker.log.count(f"is ready on core {CORES[0]} ") == 2
        assert "could not start" not in worker.log


@pytest.mark.skipif(len(CORES) < 2, reason="one core has one process")
@pytest.mark.parametrize(
    ("settings", "arguments", "processes"),
    [
        ({"CELERIAC_PROCESSES_MAX": "1"}, [], 1),
        ({"CELERIAC_PROCESSES_MAX": "1"}, ["--concurrency=2"], 2),
        ({"CELERIAC_PROCESSES_MIN": "1"}, ["--concurrency=2"], 2),
        ({"CELERIAC_PROCESSES_MIN": "1"}, ["--autoscale=2,2"], 2),
        ({"CELERIAC_PROCESSES_MIN": "1", "CELERIAC_PROCESSES_MAX": "2"}, [], 1),
    ],
)
def test_the_settings_bound_the_processes_and_the_command_line_wins(
    environment: dict[str, str], settings: dict[str, str], arguments: list[str], processes: int
) -> None:
    with LocalWorker(arguments, {**environment, "CELERIAC_MODELS": "sentiment", **settings}) as worker:
        worker.wait_until_ready()

        assert len(worker.processes) == processes
