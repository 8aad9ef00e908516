"""The result backend of an app that only stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from examples.local_stack import LocalServer
from worker.results.backend import RESULT_BACKENDS, RedisBackend


@pytest.fixture
def backend(server: LocalServer) -> Iterator[RedisBackend]:
    app = Celery("results", broker="memory://", backend=server.url, set_as_current=False)
    app.loader.override_backends = RESULT_BACKENDS
    found = app.backend
    assert isinstance(found, RedisBackend)
    yield found
    app.close()
