"""Everything starts under a uid without a name, a home directory and an environment, as containers are run."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from examples.local_stack import LocalServer, LocalWorker, free_port
from producer import Client
from tests.models.tiny_checkpoint import write_checkpoint
from tests.producer.helpers import wait_until
from tests.unknown_user import as_unknown_user
from worker.cores.leases import LeaseRequest, take_leases
from worker.cores.topology import usable_cores

ROOT = Path(__file__).resolve().parents[2]
REQUEST = {"task": "text-classification", "inputs": "A delight."}


def run(*command: str, text: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*as_unknown_user(**variables), sys.executable, "-m", *command],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_settings_are_shown() -> None:
    done = run("config")

    assert (done.returncode, done.stderr) == (0, "")
    assert "CELERIAC_COMPILED_DIR" in done.stdout


def test_the_bundled_models_are_listed() -> None:
    done = run("models", "list", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    assert {model["name"] for model in json.loads(done.stdout)} == {"sentiment", "nli", "qa"}


def test_a_home_of_a_user_who_does_not_exist_is_a_wrong_setting() -> None:
    done = run("config", CELERIAC_MODEL_DIR="~nobody-of-this-name/models")

    assert done.returncode == 2
    assert "CELERIAC_MODEL_DIR: there is no user 'nobody-of-this-name'" in done.stderr


def test_a_preparation_says_which_setting_names_a_place_for_the_model(tmp_path: Path) -> None:
    pytest.importorskip("optimum", reason="the prepare extra is not installed")
    write_checkpoint(tmp_path / "checkpoint")

    done = run("models", "prepare", str(tmp_path / "checkpoint"), "--as", "mine")

    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "CELERIAC_MODEL_DIR" in line
    assert "Traceback" not in done.stderr


@pytest.fixture
def leases_of_root(tmp_path: Path) -> Path:
    """A directory in which another user's worker has leased every core before."""
    directory = tmp_path / "leases"
    for core_set in take_leases(LeaseRequest(directory, usable_cores(), 1, "root@here", False), 99).sets.values():
        core_set.close()
    return directory


def test_a_worker_serves_on_cores_that_root_has_leased_before_and_a_producer_asks_it(
    own_server: LocalServer, leases_of_root: Path
) -> None:
    launcher = as_unknown_user(
        CELERIAC_BROKER_URL=own_server.url,
        CELERIAC_MODELS="sentiment",
        CELERIAC_CORES_LEASE_DIR=str(leases_of_root),
    )
    with LocalWorker(["--concurrency=1"], launcher=launcher) as worker, Client(own_server.url, timeout_s=60) as client:
        worker.wait_until_ready()
        (answer,) = client.classify("A delight.")
        asked = run("producer", "--broker-url", own_server.url, text=json.dumps(REQUEST) + "\n")

        assert answer["label"] == "POSITIVE"
        assert (asked.returncode, json.loads(asked.stdout)["result"][0]["label"]) == (0, "POSITIVE"), asked.stderr
        assert "compiled models cannot be kept in" in worker.log
        assert "Traceback" not in worker.log


def test_flower_starts(own_server: LocalServer) -> None:
    port = free_port()
    launcher = as_unknown_user(CELERIAC_BROKER_URL=own_server.url)
    command = [*launcher, sys.executable, "-m", "celery", "-A", "worker", "flower", f"--port={port}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as flower:

        def answers() -> bool:
            assert flower.poll() is None
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthcheck", timeout=10) as reply:
                    return bool(reply.status == 200)
            except urllib.error.URLError:
                return False

        try:
            wait_until(answers, timeout_s=60)
        finally:
            flower.terminate()
