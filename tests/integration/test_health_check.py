"""The image's health check, as it stands in the Dockerfile, against real workers."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local_stack import free_port
from tests.monitored_worker import MonitoredWorker

DOCKERFILE = (Path(__file__).resolve().parents[2] / "Dockerfile").read_text(encoding="utf-8")
#: Docker's own limit in the Dockerfile, beyond which a check has failed.
TIMEOUT_S = 10

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the image's base has bash, this machine has not")


@pytest.fixture(scope="module")
def command() -> list[str]:
    (found,) = re.findall(r"^HEALTHCHECK [^\n]*--timeout=10s[^\n]*\\\n\s+CMD (\[.*\])$", DOCKERFILE, flags=re.MULTILINE)
    arguments: list[str] = json.loads(found)
    return arguments


@pytest.fixture
def worker(own_environment: dict[str, str]) -> Iterator[MonitoredWorker]:
    with MonitoredWorker(["-n", "other@%h", "--concurrency=1"], own_environment) as started:
        started.wait_until_ready()
        yield started


def is_healthy(command: list[str], **variables: str) -> bool:
    try:
        done = subprocess.run(
            command, env={"PATH": "/usr/bin:/bin", **variables}, timeout=TIMEOUT_S, check=False, capture_output=True
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def test_a_worker_with_a_node_name_of_its_own_is_healthy_and_one_that_hangs_is_not(
    command: list[str], worker: MonitoredWorker
) -> None:
    port = str(worker.port)
    worker.wait_for(lambda: is_healthy(command, CELERIAC_METRICS_PORT=port))
    assert is_healthy(command, CELERIAC_METRICS_PORT=port, CELERIAC_METRICS_HOST="0.0.0.0")  # noqa: S104
    # A page that does not answer 200 is a no.
    elsewhere = [part.replace("/healthz", "/nowhere") for part in command]
    assert not is_healthy(elsewhere, CELERIAC_METRICS_PORT=port)

    worker.signal(signal.SIGSTOP)
    try:
        assert not is_healthy(command, CELERIAC_METRICS_PORT=port)
    finally:
        worker.signal(signal.SIGCONT)
    worker.wait_for(lambda: is_healthy(command, CELERIAC_METRICS_PORT=port))


def test_where_nobody_listens_a_worker_is_not_healthy(command: list[str]) -> None:
    assert not is_healthy(command, CELERIAC_METRICS_PORT=str(free_port()))


def test_without_a_port_there_is_nothing_to_ask(command: list[str]) -> None:
    assert is_healthy(command, CELERIAC_METRICS_PORT="")
    assert re.search(r"^    CELERIAC_METRICS_PORT=\d+$", DOCKERFILE, flags=re.MULTILINE), "the image has one"
