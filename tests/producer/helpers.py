"""Helpers of the producer's tests: store results as a worker does, and wait for conditions."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import kombu
import pytest
import redis
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer
from producer.contract import InvalidRequest, Request, TaskName

#: How far a call may overrun its deadline on an overloaded machine. A call without a deadline would never end.
GRACE_S = 60.0
#: Part of the texts; no error may repeat it.
MARKER = "Geheimnis"


def refusal_of(schema: type[Request], arguments: Mapping[str, Any]) -> InvalidRequest:
    """The error of an invalid request; it is the same in client and worker, and repeats none of the request's text."""
    errors = []
    for read in (schema.parse, schema.parse_items):
        with pytest.raises(InvalidRequest) as caught:
            read(arguments)
        errors.append(caught.value)
    assert errors[0].args == errors[1].args
    assert MARKER not in repr([(str(error), error.args, error.__cause__, error.__context__) for error in errors])
    return errors[0]


def key_of(request_id: str) -> str:
    """The key under which Celery stores a result, and the channel on which it publishes it."""
    return f"celery-task-meta-{request_id}"


def record(request_id: str, result: Any, **fields: Any) -> str:
    """A result as Celery's backend writes it."""
    return json.dumps(
        {"status": "SUCCESS", "result": result, "traceback": None, "children": [], "task_id": request_id, **fields}
    )


def store(connection: redis.Redis, request_id: str, result: Any, **fields: Any) -> None:
    """Store a result and publish it, as Celery's backend does."""
    text = record(request_id, result, **fields)
    connection.set(key_of(request_id), text, ex=60)
    connection.publish(key_of(request_id), text)


def failure(name: str, arguments: list[Any]) -> Mapping[str, Any]:
    """An exception as Celery's backend writes it."""
    return {"exc_type": name, "exc_message": arguments, "exc_module": "celery.exceptions"}


class StockWorker:
    """Stands in for a worker, built on plain Celery: the test takes each message and says what to answer."""

    def __init__(self, url: str) -> None:
        self._app = Celery("stock", broker=url, backend=url, set_as_current=False)
        self._connection = self._app.connection_for_read()
        self._results = redis.Redis.from_url(url)

    def take(self, task: TaskName, *, bulk: bool = False, timeout_s: float = PATIENCE_S) -> kombu.Message:
        """Take the next message from a task's queue, as kombu reads it."""
        queue = kombu.Queue(f"{task.value}.bulk" if bulk else task.value, channel=self._connection.default_channel)
        taken: list[kombu.Message] = []

        def arrived() -> bool:
            message = queue.get(accept=["json"])
            if message is not None:
                message.ack()
                taken.append(message)
            return message is not None

        wait_until(arrived, timeout_s)
        assert taken[0].headers["task"] == task.value
        return taken[0]

    def answer(self, message: kombu.Message, result: Any, **fields: Any) -> None:
        """Store the result of a message."""
        store(self._results, message.headers["id"], result, **fields)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._results.close()
        self._connection.close()
        self._app.close()


def arguments_of(message: kombu.Message) -> dict[str, Any]:
    """The keyword arguments that a task would be called with."""
    args, kwargs, _ = message.payload
    assert args == []
    sent: dict[str, Any] = kwargs
    return sent


def queued(connection: redis.Redis, queue: str = "text-classification") -> list[dict[str, Any]]:
    """The messages in a queue, newest first."""
    return [json.loads(element) for element in connection.lrange(queue, 0, -1)]


def wait_until(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    """Wait until ``condition`` holds."""
    deadline_s = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, f"not in {timeout_s:g} s"
        pause.wait(0.005)


def is_awaited(connection: redis.Redis, request_id: str) -> bool:
    """Whether anybody is subscribed to a result."""
    return bool(connection.pubsub_channels(key_of(request_id)))


def has_looked(connection: redis.Redis) -> bool:
    """Whether a waiter has read the stored results since the server started; by then it is subscribed."""
    commands: dict[str, Any] = connection.info("commandstats")
    return "cmdstat_mget" in commands


def subscriptions(connection: redis.Redis) -> list[Any]:
    """All channels with subscribers."""
    channels: list[Any] = connection.pubsub_channels()
    return channels


@contextmanager
def paused(server: LocalServer) -> Iterator[None]:
    """Freeze the server's process."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    """Check that the block ends by its deadline, whether it succeeds or fails."""
    started_s = time.monotonic()
    yield
    assert time.monotonic() - started_s < seconds + GRACE_S
