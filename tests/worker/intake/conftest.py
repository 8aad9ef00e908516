"""An app of ours on a server of the test's own, without a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config import load_settings
from examples.local_stack import LocalServer
from tests.conftest import forget_results
from worker.celery_options import TRANSPORT, celery_options
from worker.inference.served_models import ServedModels
from worker.results.backend import RESULT_BACKENDS
from worker.runtime import CeleriacApp, WorkerRuntime


@pytest.fixture
def app(own_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[CeleriacApp]:
    """It serves ``sentiment`` and ``nli``."""
    monkeypatch.setenv("CELERIAC_BROKER_URL", own_server.url)
    monkeypatch.setenv("CELERIAC_MODELS", "sentiment,nli")
    settings = load_settings()
    runtime = WorkerRuntime(settings, ServedModels.from_settings(settings))
    made = CeleriacApp("tested", runtime=runtime, amqp=TRANSPORT, set_as_current=False)
    made.loader.override_backends = RESULT_BACKENDS
    made.conf.update(celery_options(settings, runtime.served.own_tasks, runtime.served.names))
    yield made
    forget_results(made)
    made.close()
