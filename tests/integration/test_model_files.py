"""What a running worker has to do with its models' files: it maps, locks and verifies them."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from examples.local_stack.procfs import open_libraries
from models.__main__ import main
from models.store import CONFIG_NAME, StoredModel, find
from models.store.in_use import is_in_use
from producer import Client
from worker.boot.process import EXIT_CANNOT_SERVE


@pytest.fixture
def mine(tmp_path: Path) -> StoredModel:
    """A model that was prepared here."""
    sentiment = find("sentiment", tmp_path)
    directory = Path(shutil.copytree(sentiment.directory, tmp_path / "models" / "mine"))
    sentiment.manifest.model_copy(update={"name": "mine"}).write(directory)
    return find("mine", directory.parent)


@pytest.fixture
def environment(own_environment: dict[str, str], mine: StoredModel, tmp_path: Path) -> dict[str, str]:
    """Settings of a worker that serves it."""
    return {
        **own_environment,
        "CELERIAC_MODELS": "mine",
        "CELERIAC_MODEL_DIR": str(mine.directory.parent),
        "CELERIAC_COMPILED_DIR": str(tmp_path / "compiled"),
    }


def spoil(model: StoredModel) -> None:
    """Change a file of a model in place."""
    with (model.directory / CONFIG_NAME).open("ab") as file:
        file.write(b" ")


def test_processes_share_the_compiled_file_and_one_that_replaces_another_loads_what_was_verified(
    environment: dict[str, str], own_server: LocalServer, mine: StoredModel, capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalWorker([], environment) as worker, Client(own_server.url, timeout_s=PATIENCE_S) as client:
        worker.wait_until_ready()
        (compiled,) = Path(environment["CELERIAC_COMPILED_DIR"]).glob("*.blob")
        assert compiled.name.startswith(mine.manifest.revision)
        assert {open_libraries(pid, ".blob")[0] for pid in worker.processes.values()} == {str(compiled)}
        assert client.classify("A delight.", model="mine")[0]["label"] == "POSITIVE"

        assert is_in_use(mine.directory)
        assert main(["--models-dir", str(mine.directory.parent), "remove", "mine"]) == 1
        assert "a worker on this host serves mine" in capsys.readouterr().err

        spoil(mine)
        killed = worker.processes
        os.kill(killed[0], signal.SIGKILL)
        worker.wait_for(lambda: worker.processes.keys() == killed.keys() and worker.processes[0] != killed[0])
        assert client.classify("A delight.", model="mine")[0]["label"] == "POSITIVE"
    assert not is_in_use(mine.directory)


def test_a_compiled_file_that_is_cut_off_under_a_worker_costs_a_restart(
    environment: dict[str, str], own_server: LocalServer
) -> None:
    with (
        LocalWorker(["--concurrency=1"], environment) as worker,
        Client(own_server.url, timeout_s=PATIENCE_S) as client,
    ):
        worker.wait_until_ready()
        old = worker.processes[0]
        (compiled,) = Path(environment["CELERIAC_COMPILED_DIR"]).glob("*.blob")
        os.truncate(compiled, 4096)

        # A longer text takes kernels that reorder weights anew.
        assert client.classify(" ".join(["A delight."] * 30))[0]["label"] == "POSITIVE"

        worker.wait_for(lambda: worker.processes.get(0, old) != old)
        assert "signal 7 (SIGBUS)" in worker.log
        assert f"{compiled} is damaged: compiling the model again" in worker.log


def test_without_the_cache_nothing_is_kept_and_a_process_that_finds_a_changed_model_does_not_serve(
    environment: dict[str, str], own_server: LocalServer, mine: StoredModel
) -> None:
    environment = {**environment, "CELERIAC_ENGINE_CACHE": "false"}
    with (
        LocalWorker(["--concurrency=1"], environment) as worker,
        Client(own_server.url, timeout_s=PATIENCE_S) as client,
    ):
        worker.wait_until_ready()
        assert client.classify("A delight.", model=mine.name)[0]["label"] == "POSITIVE"
        assert open_libraries(worker.processes[0], ".blob") == []

        spoil(mine)
        os.kill(worker.processes[0], signal.SIGKILL)
        assert worker.wait_for_exit() == EXIT_CANNOT_SERVE
        assert f"cannot serve: CorruptModelError: {mine.directory / CONFIG_NAME} has " in worker.log
    assert not Path(environment["CELERIAC_COMPILED_DIR"]).exists()
