"""Client, broker and result backend by way of Sentinels, which are real, with passwords of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from config import load_settings
from examples.local_stack import MASTER_NAME, PATIENCE_S, LocalSentinels, LocalWorker
from producer import BrokerUnavailable, Client, TextClassificationRequest
from producer.contract import TaskName
from tests.conftest import PATIENT
from worker.celery_options import TRANSPORT, celery_options
from worker.results.backend import RESULT_BACKENDS, SentinelBackend
from worker.transport import SentinelTransport

REQUEST = TextClassificationRequest.parse({"inputs": "A delight."})
MANY = 20
PASSWORD, SENTINEL_PASSWORD = "geheim", "wache"


@pytest.fixture
def sentinels() -> Iterator[LocalSentinels]:
    with LocalSentinels(password=PASSWORD, sentinel_password=SENTINEL_PASSWORD) as started:
        yield started


def url_of(sentinels: LocalSentinels, **changes: str) -> str:
    parameters = {"master_name": MASTER_NAME, "sentinel_password": SENTINEL_PASSWORD, **changes}
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"sentinel://:{PASSWORD}@{sentinels.addresses}/1?{query}"


def test_client_broker_and_backend_reach_the_master_though_a_sentinel_is_gone(
    monkeypatch: pytest.MonkeyPatch, sentinels: LocalSentinels
) -> None:
    sentinels.stop_sentinel(0)
    monkeypatch.setenv("CELERIAC_BROKER_URL", url_of(sentinels))
    app = Celery("configured", amqp=TRANSPORT, set_as_current=False)
    app.loader.override_backends = RESULT_BACKENDS
    app.conf.update(celery_options(load_settings(), list(TaskName)))
    with Client(load_settings().broker.url, timeout_s=PATIENCE_S) as client, app.connection() as connection:
        connection.ensure_connection()
        assert isinstance(connection.transport, SentinelTransport)
        assert isinstance(app.backend, SentinelBackend)
        request_id = client.submit(REQUEST)
        assert connection.default_channel.client.llen("text-classification") == 1
        with app.backend.gather({request_id: ("tag", 1)}):
            app.backend.store_result(request_id, [{"label": "x"}], "SUCCESS")
        assert client.wait(request_id).result == [{"label": "x"}]
        info = {name: value for name, value in connection.info().items() if name != "password"}  # which Celery removes
        shown = f"{connection.as_uri()} {info} {app.backend.as_uri()} {app.conf.table(censored=True)}"
        assert not any(word in shown for word in (PASSWORD, SENTINEL_PASSWORD))
    app.backend.client.close()
    app.close()


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"master_name": "other"}, "No master found"), ({"sentinel_password": "x"}, "No master found")],
)
def test_sentinels_that_know_no_master_give_a_typed_error_by_the_deadline(
    sentinels: LocalSentinels, changes: dict[str, str], said: str
) -> None:
    with (
        Client(url_of(sentinels, **changes), timeout_s=0.5) as client,
        pytest.raises(BrokerUnavailable, match=said) as caught,
    ):
        client.submit(REQUEST)
    assert not any(word in str(caught.value) for word in (PASSWORD, SENTINEL_PASSWORD))


def test_a_failover_is_followed_by_client_worker_and_results(sentinels: LocalSentinels, tmp_path: Path) -> None:
    url = url_of(sentinels)
    environment = {
        **PATIENT,
        "CELERIAC_BROKER_URL": url,
        "CELERIAC_MODELS": "sentiment",
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path / "leases"),
    }
    with LocalWorker(["--concurrency=1"], environment) as worker, Client(url, timeout_s=PATIENCE_S) as client:
        worker.wait_until_ready()
        assert client.classify("good")[0]["label"] == "POSITIVE"
        old = sentinels.master
        sent = [client.submit(REQUEST) for _ in range(MANY)]
        with sentinels.connect(old) as connected:
            # What the replica has is not lost.
            assert connected.wait(1, int(PATIENCE_S * 1000)) == 1
        old.kill()
        sent += [client.submit(REQUEST) for _ in range(MANY)]
        labels = [client.wait(request_id, timeout_s=PATIENCE_S).result[0]["label"] for request_id in sent]
        assert labels == ["POSITIVE"] * 2 * MANY
        assert sentinels.master is not old
        assert not any(word in worker.log for word in (PASSWORD, SENTINEL_PASSWORD))
