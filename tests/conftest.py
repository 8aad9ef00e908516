"""Fixtures that the tests share: a real server, a real worker, a plain Celery app, and a check of the keys left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery
from hypothesis import HealthCheck, settings
from kombu import pools

import models  # noqa: F401 - before OpenVINO, so that tests report no conversions to its maker either
from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from producer import Client
from producer.contract import TaskName

# Tests run side by side on few cores: torch's threads would spin against each other's. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says nothing about what it shows.
settings.register_profile("celeriac", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("celeriac")

#: The evaluation data beside the project.
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
#: The checkpoints beside the project.
CHECKPOINTS = DATA.parent / "checkpoints"
#: The settings that all tests have: what is compiled is kept with their files, and answers do not depend on the CPU.
COMPILED_DIR, ARITHMETIC = "CELERIAC_COMPILED_DIR", "CELERIAC_ENGINE_ARITHMETIC"
TEST_SETTINGS = frozenset({COMPILED_DIR, ARITHMETIC})
#: Settings of a worker on a machine of any speed: a start and a shutdown take as long as they take.
PATIENT = {"CELERIAC_TIME_PROCESS_START_S": f"{PATIENCE_S:g}", "CELERIAC_TIME_SHUTDOWN_S": f"{PATIENCE_S:g}"}
#: Keys without a TTL that may be left behind; `docs/redis-keys.md` lists the same.
LASTING_KEYS = ("_kombu.binding", "unacked", "celery", "model:", "model.bulk:", *(task.value for task in TaskName))


@pytest.fixture(scope="session")
def server() -> Iterator[LocalServer]:
    """A server for all tests that leave it running."""
    with LocalServer() as started:
        yield started


@pytest.fixture
def own_server() -> Iterator[LocalServer]:
    """A server for one test, to be paused or stopped."""
    with LocalServer() as started:
        yield started


@pytest.fixture
def own_environment(own_server: LocalServer, tmp_path: Path) -> dict[str, str]:
    """Settings of a worker on a server of the test's own, with one model and core leases of its own."""
    return {
        "CELERIAC_BROKER_URL": own_server.url,
        "CELERIAC_MODELS": "sentiment",
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path / "leases"),
        **PATIENT,
    }


@pytest.fixture
def own_stock(own_server: LocalServer) -> Iterator[Celery]:
    """Plain Celery on the test's own server: it monitors and controls."""
    yield from plain_celery(own_server)


@pytest.fixture
def own_redis(own_server: LocalServer) -> Iterator[redis.Redis]:
    """The test's own server itself."""
    with redis.Redis.from_url(own_server.url) as connected:
        yield connected


@pytest.fixture(scope="session")
def worker_environment(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of a worker on the shared server, with core leases of its own."""
    return {
        "CELERIAC_BROKER_URL": server.url,
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path_factory.mktemp("leases")),
        **PATIENT,
    }


@pytest.fixture(scope="session")
def worker(worker_environment: dict[str, str]) -> Iterator[LocalWorker]:
    """A worker with all cores of this machine, for all tests that leave it running."""
    with LocalWorker(environment=worker_environment) as started:
        started.wait_until_ready()
        yield started


@pytest.fixture
def client(server: LocalServer) -> Iterator[Client]:
    """Our client of the shared server."""
    with Client(server.url, timeout_s=PATIENCE_S) as connected:
        yield connected


@pytest.fixture
def stock(server: LocalServer) -> Iterator[Celery]:
    """Plain Celery, as a service has it that knows nothing of this project."""
    yield from plain_celery(server)


@pytest.fixture
def redis_client(server: LocalServer) -> Iterator[redis.Redis]:
    """The shared server itself."""
    with redis.Redis.from_url(server.url) as connected:
        yield connected


def plain_celery(server: LocalServer) -> Iterator[Celery]:
    app = Celery("stock", broker=server.url, backend=server.url, set_as_current=False)
    yield app
    forget_results(app)
    forget_connections(app)
    app.close()


def forget_connections(app: Celery) -> None:
    """Empty kombu's pools for this server: a later one on the same port would be spoken to on a closed connection."""
    connection = app.connection_for_write()
    for group in (pools.connections, pools.producers):
        if connection in group:
            group[connection].force_close_all()
            del group[connection]


def forget_results(app: Celery) -> None:
    """Let go of results that nobody has read: collected later, they would unsubscribe at a server that is gone."""
    consumer = app.backend.result_consumer
    consumer.stop()
    consumer._pubsub = None
    app.backend.client.connection_pool.disconnect()


@pytest.fixture(scope="session", autouse=True)
def _settings_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers keep compiled models with the tests' files, where the next ones find them, and compute in INT8."""
    with pytest.MonkeyPatch.context() as session:
        session.setenv(COMPILED_DIR, str(tmp_path_factory.mktemp("compiled")))
        session.setenv(ARITHMETIC, "int8")
        yield


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what the person who runs it has configured."""
    for name in [name for name in os.environ if name.startswith("CELERIAC_") and name not in TEST_SETTINGS]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_lasting_keys(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every key that a test leaves on the shared server expires, or is one of the lasting ones."""
    yield
    if "server" not in request.fixturenames:
        return
    url = request.getfixturevalue("server").url
    with redis.Redis.from_url(url) as connected:
        lasting = [key.decode() for key in connected.scan_iter() if connected.ttl(key) == -1]
    leaked = [key for key in lasting if not key.startswith(LASTING_KEYS)]
    assert not leaked, f"keys without a time to live: {leaked}"
