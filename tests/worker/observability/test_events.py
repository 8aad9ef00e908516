"""Events about tasks go together, and those that wait are not lost with a connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from examples.local_stack import LocalServer
from worker.observability.events import EventDispatcher


@pytest.fixture
def app(server: LocalServer) -> Iterator[Celery]:
    made = Celery("events", broker=server.url, events="worker.observability.events:Events", set_as_current=False)
    yield made
    made.close()


def test_the_app_uses_our_dispatcher(app: Celery) -> None:
    with app.connection_for_write() as connection:
        dispatcher = app.events.Dispatcher(connection, buffer_group=["task"])

        assert isinstance(dispatcher, EventDispatcher)
        assert dispatcher.buffer_limit > 200


def test_what_waits_when_the_connection_goes_is_taken_over_in_its_order(app: Celery) -> None:
    with app.connection_for_write() as first, app.connection_for_write() as second:
        before = app.events.Dispatcher(first, buffer_group=["task"])
        before.send("task-received", uuid="a")
        before.send("task-received", uuid="b")
        before.disable()
        after = app.events.Dispatcher(second, buffer_group=["task"])
        after.extend_buffer(before)
        after.send("task-received", uuid="c")

        assert [event["uuid"] for event in after._group_buffer["task"]] == ["a", "b", "c"]
