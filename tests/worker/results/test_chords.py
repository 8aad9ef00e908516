"""A chord's body is started although the process died that was about to start it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from celery import Celery
from celery.app.task import Context
from celery.states import SUCCESS
from kombu.transport.memory import Transport as MemoryTransport

from examples.local_stack import LocalServer
from worker.results.backend import RESULT_BACKENDS, RedisBackend

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")
#: How long a dead process keeps the right to start the body.
RIGHT_MS = 700


@pytest.fixture
def app(server: LocalServer) -> Iterator[Celery]:
    made = Celery("chords", broker="memory://", backend=server.url, set_as_current=False)
    made.loader.override_backends = RESULT_BACKENDS
    yield made
    made.close()


@pytest.mark.parametrize(("attempt", "starts"), [(1, False), (2, True)])
def test_a_member_that_comes_again_waits_for_the_right_to_start_the_body(
    app: Celery, attempt: int, starts: bool
) -> None:
    backend = app.backend
    assert isinstance(backend, RedisBackend)
    group, member, queue = str(uuid4()), str(uuid4()), f"body-{uuid4()}"
    right = backend.get_key_for_group(group, ".c")
    backend.set_chord_size(group, 1)
    backend.expire(backend.get_key_for_group(group, ".s"), 600)
    backend.client.set(right, "of a dead process", px=RIGHT_MS)
    body = app.signature("body", queue=queue)
    request = Context(id=member, group=group, group_index=0, chord=body)

    with backend.gather({member: ("tag", attempt)}):
        backend.on_chord_part_return(request, SUCCESS, "x")

    with app.connection_for_read() as connection:
        assert isinstance(connection.transport, MemoryTransport)
        message = connection.SimpleQueue(queue).queue.get()
    assert (message is not None) is starts
    assert (backend.client.get(right) == b"done") is starts
