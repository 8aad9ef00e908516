"""What the producer's tests share: results as a worker stores them, and waits for conditions."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import redis

from examples.local_stack import LocalServer

#: What a call may take beyond its deadline.
GRACE_S = 1.0


def key_of(request_id: str) -> str:
    """Where Celery keeps a result, and the channel on which it announces it."""
    return f"celery-task-meta-{request_id}"


def record(request_id: str, result: Any, **fields: Any) -> str:
    """A result as Celery's backend writes it."""
    return json.dumps(
        {"status": "SUCCESS", "result": result, "traceback": None, "children": [], "task_id": request_id, **fields}
    )


def store(connection: redis.Redis, request_id: str, result: Any, **fields: Any) -> None:
    """Store a result and announce it, as Celery's backend does."""
    text = record(request_id, result, **fields)
    connection.set(key_of(request_id), text, ex=60)
    connection.publish(key_of(request_id), text)


def failure(name: str, arguments: list[Any]) -> Mapping[str, Any]:
    """An exception as Celery's backend writes it."""
    return {"exc_type": name, "exc_message": arguments, "exc_module": "celery.exceptions"}


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait until ``condition`` holds."""
    deadline_s = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, f"not in {timeout_s:g} s"
        pause.wait(0.005)


def is_awaited(connection: redis.Redis, request_id: str) -> bool:
    """Whether somebody listens for a result."""
    return bool(connection.pubsub_channels(key_of(request_id)))


def has_looked(connection: redis.Redis) -> bool:
    """Whether a waiter has looked for stored results since the server started; it listens by then."""
    commands: dict[str, Any] = connection.info("commandstats")
    return "cmdstat_mget" in commands


def subscriptions(connection: redis.Redis) -> list[Any]:
    """All channels that anybody listens to."""
    channels: list[Any] = connection.pubsub_channels()
    return channels


@contextmanager
def paused(server: LocalServer) -> Iterator[None]:
    """A server whose process is frozen."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    """What is inside ends by its deadline, one way or the other."""
    started_s = time.monotonic()
    yield
    assert time.monotonic() - started_s < seconds + GRACE_S
